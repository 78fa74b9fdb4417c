"""Ingest says why each record was set aside, and stops when too many were."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from data_contracts.errors import SourceError, TooManyRejectedError
from data_contracts.ingest import Manifest, QualitySettings, VoiceSettings
from omni_core.audio import encode_flac
from omni_core.store import ArtifactStore
from tests.omni_core.made_sources import run, settings_for, three_splits, turn, write_source


def bad_rows(folder: Path, speech: np.ndarray) -> tuple[list[dict], list[tuple[int, str]]]:
    """A record for each way of being bad, and (line, rule that it breaks) of each; good ones at both ends."""

    def save(name: str, waveform: np.ndarray, rate_hz: int = 24_000, **options) -> str:
        soundfile.write(folder / "audio" / name, waveform, rate_hz, **options)
        return f"audio/{name}"

    (folder / "audio").mkdir(parents=True)
    (folder / "audio" / "broken.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt nothing more")
    noise = np.random.default_rng(0).standard_normal(len(speech)) * np.std(speech)
    quiet = np.concatenate([np.zeros(20 * 2_400), speech, np.zeros(60 * 2_400)])
    good = save("good.wav", speech)
    bad = {
        "missing_file": turn(1, question_audio="audio/gone.wav"),
        "broken_audio": turn(2, answer_audio="audio/broken.wav"),
        "sample_rate": turn(3, question_audio=save("telephone.wav", np.stack([speech, speech], 1)[::3], 8_000)),
        "duration": turn(4, answer_audio=save("long.flac", np.tile(speech, 12))),
        "clipping": turn(5, question_audio=save("clipped.wav", np.clip(20 * speech, -1, 1))),
        "silence": turn(6, question_audio=save("quiet.wav", quiet)),
        "snr": turn(7, question_audio=save("noisy.wav", speech + noise)),
        "words_per_second": turn(8, question_audio=good, question_text="far too many words " * 10),
        "empty_text": turn(9, answer_text=" "),
        "characters": turn(10, question_text="word " * 100),
        "language": turn(11, language="fr"),
        "split": turn(12, split="training"),
        "licence": turn(13, license=""),
        "id": turn(14, id=""),
        "unspeakable": turn(15, answer_text="--"),
        "duplicate_id": turn(16, id="t0"),
        "duplicate": turn(17, question_text="turn on LIGHT 0 in the kitchen!"),
        "text_leakage": turn(18, question_text="Turn on light 60, in the kitchen."),
    }
    voices = {"question_audio": good, "question_speaker": "ann"}
    louder = save("louder.wav", 1.5 * speech)
    bad["speaker_leakage"] = turn(19, split="validation", question_audio=louder, question_speaker="ann")
    bad["character_set"] = turn(20, answer_text="Hello 日本, it is on.")
    slow = save("slow.wav", np.tile(speech, 5))
    more = [
        ("words_per_second", turn(21, answer_text="Yes.", answer_audio=slow)),
        ("licence", turn(22, license="unknown")),
        ("text_leakage", turn(23, question_text="turn on light 30 in the PORCH?")),
        ("speaker_leakage", turn(24, question_audio=save("quieter.wav", 0.7 * speech), question_speaker="bob")),
    ]
    bob = {"question_audio": save("bob.wav", 0.9 * speech), "question_speaker": "bob"}
    good_ones = [turn(60, split="test"), turn(61, split="test", **voices), turn(30, split="validation", **bob)]
    wrong = [*bad.items(), *more]
    return [turn(0), *(row for _, row in wrong), *good_ones], [(line, rule) for line, (rule, _) in enumerate(wrong, 3)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, speech) -> tuple[ArtifactStore, Manifest, list[tuple[int, str]]]:
    folder = tmp_path_factory.mktemp("mixed")
    rows, expected = bad_rows(folder / "bad", speech)
    return *run(folder, settings_for(write_source(folder / "bad", rows))), expected


def test_every_kind_of_bad_record_is_set_aside_with_its_rule_and_line(mixed):
    store, manifest, expected = mixed
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    assert [(row["row"], row["rule"]) for row in rejected] == expected
    assert all(row["reason"] and row["source"] == "bad" and row["record"].startswith("{") for row in rejected)


def test_accepted_and_rejected_are_all_that_was_read(mixed):
    _, manifest, expected = mixed
    facts = manifest.facts
    assert facts["rejected_by_rule"] == Counter(rule for _, rule in expected)
    assert facts["accepted"] + facts["rejected"] == facts["read"] == len(expected) + 4
    assert facts["turns"] == {"train": 1, "validation": 1, "test": 2}


def test_reasons_name_the_thing_and_the_bound(mixed):
    store, manifest, _ = mixed
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    reasons = {row["rule"]: row["reason"] for row in reversed(rejected)}
    assert reasons["missing_file"] == "the question's file 'audio/gone.wav' does not exist; add it or correct the path"
    assert reasons["sample_rate"] == "the question is sampled at 8000 Hz, under quality.min_sample_rate_hz 16000"
    assert "the answer lasts" in reasons["duration"] and "0.3 to 15" in reasons["duration"]
    assert "'audio/broken.wav'" in reasons["broken_audio"] and "export it again" in reasons["broken_audio"]
    assert reasons["text_leakage"] == "its text or recording is also in the sealed test split, as bad/t60"
    assert reasons["speaker_leakage"] == "its question is spoken by 'ann', a voice of the sealed test split"
    last = {row["rule"]: row["reason"] for row in rejected}
    assert last["text_leakage"] == "its text or recording is also in the validation split, as bad/t30"
    assert last["speaker_leakage"] == "its question is spoken by 'bob', a voice of the validation split"
    assert "not written in en: 日本; write it" in reasons["character_set"] and "ingest.licences" in last["licence"]
    assert "(quality.min_words_per_second, max_words_per_second: 0.3 to 8)" in last["words_per_second"]


def test_too_many_rejected_stops_names_the_reasons_and_keeps_the_table(tmp_path):
    rows = [*three_splits(), *(turn(number, language="fr") for number in range(70, 74)), turn(80, license="")]
    settings = settings_for(write_source(tmp_path / "texts", rows), quality=QualitySettings())
    with pytest.raises(TooManyRejectedError) as stopped:
        run(tmp_path, settings)
    sentence = str(stopped.value)
    assert sentence.startswith("5 of 10 records were set aside, over quality.max_rejected_fraction 0.2; most often 4 x")
    assert "1 x licence (as: no licence is named" in sentence
    (table,) = (tmp_path / "store" / "rejected").glob("*/rejected.parquet")
    assert str(table) in sentence and len(pq.read_table(table)) == 5
    assert not (tmp_path / "store" / "manifest").exists()


def test_too_few_turns_of_a_split_stop_with_the_setting_to_change(tmp_path):
    settings = settings_for(
        write_source(tmp_path / "texts", [turn(0), turn(30, split="validation")]), quality=QualitySettings()
    )
    with pytest.raises(SourceError, match=r"0 accepted test turns are fewer than quality\.min_test_turns 1; add some"):
        run(tmp_path, settings)


def test_without_a_voice_a_text_alone_is_set_aside(tmp_path, speech):
    folder = tmp_path / "half"
    (folder / "audio").mkdir(parents=True)
    (folder / "audio" / "said.flac").write_bytes(encode_flac(speech, 24_000))
    said = {"question_audio": "audio/said.flac", "answer_audio": "audio/said.flac"}
    rows = [turn(0, **said), turn(1, question_audio="audio/said.flac"), turn(2, answer_audio="audio/said.flac")]
    settings = settings_for(write_source(folder, rows), voice=VoiceSettings(teacher=None))
    store, manifest = run(tmp_path, settings)
    reasons = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet")["reason"].to_pylist()
    mend = "audio and no voice is set: set ingest.voice.teacher or add the recording"
    assert reasons == [f"has no answer {mend}", f"has no question {mend}"]
    assert manifest.facts["voice"] is None and manifest.facts["unknown_speakers"] == 2


def test_without_a_voice_and_without_recordings_nothing_can_be_read(tmp_path):
    settings = settings_for(write_source(tmp_path / "texts", three_splits()), voice=VoiceSettings(teacher=None))
    with pytest.raises(SourceError, match="none of the 5 records can be used: each has no question audio and no voice"):
        run(tmp_path, settings)


def test_a_row_with_an_unquoted_comma_is_set_aside(tmp_path):
    source = tmp_path / "texts"
    source.mkdir()
    (source / "metadata.csv").write_text(
        "id,language,question_text,answer_text\nx,en,Hello, you,Good day.\ny,en,Good evening.,Good day.\n"
    )
    store, manifest = run(tmp_path, settings_for(str(source), licences={str(source): "CC0-1.0"}))
    (row,) = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    assert (row["rule"], row["row"]) == ("cells", 2) and "put texts with commas in quotes" in row["reason"]
