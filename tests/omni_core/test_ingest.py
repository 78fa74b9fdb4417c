"""Ingest loses no record, says why each one was set aside, and writes the same bytes for the same data."""

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from data_contracts.errors import SourceError, StorageError, TooManyRejectedError
from data_contracts.ingest import REJECTED, TURN, UTTERANCE, IngestSettings, Manifest, QualitySettings, VoiceSettings
from omni_core import shards
from omni_core.audio import decode, encode_flac
from omni_core.ingest import ingest
from omni_core.sources import read_sources, source_names
from omni_core.store import ArtifactStore
from omni_core.teacher import load_voice

TURN_COLUMNS = (
    "id",
    "language",
    "split",
    "topic",
    "question_text",
    "answer_text",
    "question_audio",
    "answer_audio",
    "question_speaker",
    "answer_speaker",
    "license",
)
ANY = QualitySettings(max_rejected_fraction=1, min_train_turns=0, min_validation_turns=0, min_test_turns=0)
PLACES = ("kitchen", "hall", "attic", "garden", "cellar", "office", "porch", "garage", "bath", "closet", "den", "shed")


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Two seconds of the teacher voice at 24 kHz."""
    return load_voice("hibari").speak("The light in the kitchen is on now.", seed=1)


def write_source(folder: Path, rows: list[dict], columns=TURN_COLUMNS) -> str:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return str(folder)


def turn(number: int, **cells) -> dict:
    """A valid turn about a place; questions differ by number, answers repeat every third."""
    return {
        "id": f"t{number}",
        "language": "en",
        "split": "train",
        "topic": "lights",
        "license": "CC0-1.0",
        "question_text": f"Turn on light {number} in the {PLACES[number % 12]}.",
        "answer_text": f"The {PLACES[number // 3 % 12]} is bright.",
    } | cells


def three_splits() -> list[dict]:
    return [turn(0), turn(1), turn(2), turn(30, split="validation"), turn(60, split="test")]


def settings_for(*sources: str, **changes) -> IngestSettings:
    return IngestSettings(sources=sources, **({"quality": ANY} | changes))


def run(tmp_path: Path, settings: IngestSettings, name: str = "store", **kwargs) -> tuple[ArtifactStore, Manifest]:
    store = ArtifactStore(tmp_path / name)
    return store, ingest(store, settings, tmp_path / "home", **kwargs)


def utterances(store: ArtifactStore, manifest: Manifest, role: str) -> list[dict]:
    folder = store.folder(manifest)
    return [row for name in manifest.shards(role) for row in pq.read_table(folder / name).to_pylist()]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> tuple[ArtifactStore, Manifest]:
    folder = tmp_path_factory.mktemp("spoken")
    return run(folder, settings_for(write_source(folder / "texts", three_splits()), quality=QualitySettings()))


def test_texts_are_spoken_into_turns_of_the_schema(spoken):
    store, manifest = spoken
    turns = pq.read_table(store.folder(manifest) / "turns.parquet")
    questions, answers = utterances(store, manifest, "question"), utterances(store, manifest, "answer")
    assert turns.schema == TURN
    assert pq.read_schema(store.folder(manifest) / manifest.shards("answer")[0]) == UTTERANCE
    assert set(turns["question_id"].to_pylist()) == {row["utterance_id"] for row in questions}
    assert set(turns["answer_id"].to_pylist()) == {row["utterance_id"] for row in answers}
    assert manifest.facts["turns"] == {"train": 3, "validation": 1, "test": 1}
    assert manifest.licences == {"texts": "CC0-1.0", "voice hibari/heart": "Apache-2.0"}


def test_equal_answers_of_a_split_are_one_utterance_in_the_plain_voice(spoken):
    answers = utterances(*spoken, "answer")
    assert [(row["text"], row["split"]) for row in answers] == [
        ("The kitchen is bright.", "train"),
        ("The den is bright.", "validation"),
        ("The bath is bright.", "test"),
    ]
    plain = load_voice("hibari")
    for row in answers:
        waveform, rate_hz = decode(row["audio"])
        seed_free = len(plain.speak(row["text"]))
        assert (rate_hz, row["speaker"], row["synthesized"]) == (24_000, "hibari/heart", True)
        assert len(waveform) == seed_free and row["duration_s"] == pytest.approx(len(waveform) / 24_000)


def test_questions_are_varied_and_stored_at_16_khz(spoken):
    questions = utterances(*spoken, "question")
    assert {row["sample_rate_hz"] for row in questions} == {16_000} == {decode(row["audio"])[1] for row in questions}
    assert {row["speaker"] for row in questions} == {"hibari/heart varied"}
    assert len({round(row["snr_db"], 2) for row in questions}) == len(questions)


def test_the_teacher_voice_in_train_and_test_is_no_leak(spoken):
    _, manifest = spoken
    assert manifest.facts["rejected"] == 0 and manifest.facts["read"] == manifest.facts["accepted"] == 5


def test_data_docs_and_the_empty_rejected_table_travel_with_the_manifest(spoken):
    store, manifest = spoken
    assert pq.read_table(store.verify(manifest) / "rejected" / "rejected.parquet").schema == REJECTED
    pages = [name for name in manifest.files if name.startswith("data_docs/validations")]
    assert "data_docs/index.html" in manifest.files
    assert {name.split("/")[2] for name in pages} == {
        "records",
        "utterances",
        "between_rows",
        "accepted_utterances",
        "accepted_turns",
        "sealed_test",
        "totals",
    }


def test_the_same_data_gives_the_same_bytes_wherever_it_lies_and_however_many_processes(tmp_path, spoken, monkeypatch):
    monkeypatch.setattr(shards, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    source = write_source(tmp_path / "elsewhere" / "texts", three_splits())
    _, again = run(tmp_path, settings_for(source, quality=QualitySettings()))
    assert again.digest == spoken[1].digest


def bad_rows(folder: Path, speech: np.ndarray) -> tuple[list[dict], dict[str, str]]:
    """One record for each way of being bad, and the rule that each one breaks; good ones at both ends."""

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
        "unspeakable": turn(15, answer_text="日本語"),
        "duplicate_id": turn(16, id="t0"),
        "duplicate": turn(17, question_text="turn on LIGHT 0 in the kitchen!"),
        "text_leakage": turn(18, question_text="Turn on light 60, in the kitchen."),
    }
    voices = {"question_audio": good, "question_speaker": "ann"}
    louder = save("louder.wav", 1.5 * speech)
    bad["speaker_leakage"] = turn(19, split="validation", question_audio=louder, question_speaker="ann")
    good_ones = [turn(60, split="test"), turn(61, split="test", **voices), turn(30, split="validation")]
    rows = [turn(0), *bad.values(), *good_ones]
    return rows, {rule: f"{number + 3}" for number, rule in enumerate(bad)}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, speech) -> tuple[ArtifactStore, Manifest, dict[str, str]]:
    folder = tmp_path_factory.mktemp("mixed")
    rows, expected = bad_rows(folder / "bad", speech)
    return *run(folder, settings_for(write_source(folder / "bad", rows))), expected


def test_every_kind_of_bad_record_is_set_aside_with_its_rule_and_line(mixed):
    store, manifest, expected = mixed
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    assert {row["rule"]: str(row["row"]) for row in rejected} == expected
    assert all(row["reason"] and row["source"] == "bad" and row["record"].startswith("{") for row in rejected)


def test_accepted_and_rejected_are_all_that_was_read(mixed):
    _, manifest, expected = mixed
    facts = manifest.facts
    assert facts["rejected_by_rule"] == dict.fromkeys(expected, 1)
    assert facts["accepted"] + facts["rejected"] == facts["read"] == len(expected) + 4
    assert facts["turns"] == {"train": 1, "validation": 1, "test": 2}


def test_reasons_name_the_thing_and_the_bound(mixed):
    store, manifest, _ = mixed
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    reasons = {row["rule"]: row["reason"] for row in rejected}
    assert reasons["missing_file"] == "the question's file 'audio/gone.wav' does not exist; add it or correct the path"
    assert reasons["sample_rate"] == "the question is sampled at 8000 Hz, under quality.min_sample_rate_hz 16000"
    assert "the answer lasts" in reasons["duration"] and "0.3 to 15" in reasons["duration"]
    assert "'audio/broken.wav'" in reasons["broken_audio"] and "export it again" in reasons["broken_audio"]
    assert "bad/t60 " in reasons["text_leakage"] + " " and "'ann'" in reasons["speaker_leakage"]


def unchanged_shards(before: Manifest, after: Manifest) -> list[str]:
    return [name for name in before.files if "utterances/" in name and after.files.get(name) == before.files[name]]


def test_rows_at_the_end_and_one_more_source_leave_full_shards_as_they_were(tmp_path):
    rows = [turn(number, answer_text=f"Light {number % 9} is on.") for number in range(10)]
    first = write_source(tmp_path / "a", rows[:9])
    _, before = run(tmp_path, settings_for(first, shard_rows=8))
    write_source(tmp_path / "a", [*rows, turn(60, split="test", answer_text=rows[0]["answer_text"])])
    second = write_source(tmp_path / "b", [turn(61, split="test"), turn(2, split="test")])  # t2 of a leaks into b
    _, after = run(tmp_path, settings_for(first, second, shard_rows=8))

    assert before.shards("question") == ["utterances/question-00-00000.parquet", "utterances/question-00-00001.parquet"]
    assert after.facts["rejected_by_rule"] == {"text_leakage": 1}
    # t2 left the first shard of questions and its answer that of answers; nothing moved up from the second shard
    assert after.shards("question") == [*before.shards("question"), "utterances/question-01-00000.parquet"]
    rest = settings_for(first, quality=ANY, shard_rows=8)
    _, without_leak = run(tmp_path, rest)
    assert {"utterances/question-00-00000.parquet", "utterances/answer-00-00000.parquet"} <= set(
        unchanged_shards(before, without_leak)
    )
    assert "utterances/question-00-00001.parquet" in unchanged_shards(without_leak, after)


def test_a_killed_run_goes_on_with_the_shards_that_were_finished(tmp_path):
    settings = settings_for(write_source(tmp_path / "texts", [turn(number) for number in range(16)]), shard_rows=8)

    def kill_in_the_second_shard(done: int, total: int, what: str) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, settings, progress=kill_in_the_second_shard)
    (finished,) = (tmp_path / "home" / "work").glob("ingest-*/*")
    written_ns, seen = finished.stat().st_mtime_ns, []
    _, manifest = run(tmp_path, settings, progress=lambda done, total, what: seen.append(done))

    assert finished.name == "answer-00-00000.parquet" and written_ns and min(seen) > 6 and max(seen) == 16 + 6
    assert not list((tmp_path / "home" / "work").iterdir()) and not list((tmp_path / "store" / ".tmp").iterdir())
    _, whole = run(tmp_path / "fresh", settings)
    assert manifest.digest == whole.digest


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


def test_plain_speech_keeps_its_rate_and_one_speaker_in_all_splits(tmp_path, speech):
    folder = tmp_path / "prompts"
    columns = ("id", "language", "text", "audio", "speaker")
    rows = [
        {
            "id": f"p{number}",
            "language": "en-US",
            "text": f"Please hold the line for agent number {number}.",
            "audio": f"audio/p{number}.ogg",
            "speaker": "ann",
        }
        for number in range(3)
    ]
    source = write_source(folder, rows, columns)
    for number in range(3):
        soundfile.write(folder / "audio" / f"p{number}.ogg", speech * (0.5 + number / 10), 24_000, format="OGG")
    store, manifest = run(tmp_path, settings_for(source))
    heard = utterances(store, manifest, "speech")
    assert [(row["sample_rate_hz"], row["speaker"], row["license"], row["split"]) for row in heard] == [
        (24_000, "ann", "unknown", "train")
    ] * 3
    assert manifest.facts["minutes"]["speech"]["train"] > 0 and manifest.shards("question") == []


def header(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "metadata.csv").write_bytes(text.encode("latin-1"))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda folder: None, r"source '.*' is not a folder; correct ingest\.sources"),
        (lambda folder: folder.mkdir(), r"source '.*' is empty; put a metadata\.csv and its audio there"),
        (lambda folder: (folder / "audio").mkdir(parents=True), r"source '.*' has no metadata\.csv; write one"),
        (lambda folder: header(folder, ""), r"metadata\.csv lacks the columns .* found: nothing"),
        (lambda folder: header(folder, "id,language,text,audio\n"), "has a header but no record; add records"),
        (
            lambda folder: header(folder, "id,language,question_text,answer\n1,en,a,b\n"),
            r"metadata\.csv lacks the column 'answer_text'; .* found: id, language, question_text, answer$",
        ),
        (
            lambda folder: header(folder, "id,language,sentence\n1,en,a\n"),
            r"lacks the columns 'question_text' and 'answer_text' \(turns\) or 'text' \(speech\); found: id, language, sent",
        ),
        (
            lambda folder: header(folder, "id,language,question_text,answer_text,questionaudio\n1,en,a,b,c\n"),
            "has a column 'questionaudio', which is not read; is it 'question_audio'",
        ),
        (lambda folder: header(folder, "id,id,language,text,audio\n1,1,en,a,b\n"), "names a column twice"),
        (lambda folder: header(folder, "id,language,text,audio\n1,en,caf\xe9,b\n"), "is not a CSV file in UTF-8"),
    ],
)
def test_a_source_that_cannot_be_read_is_named_with_the_mend(tmp_path, make, sentence):
    make(tmp_path / "source")
    with pytest.raises(SourceError, match=sentence):
        read_sources([str(tmp_path / "source")])


def test_a_source_listed_twice_or_none_at_all_is_refused(tmp_path):
    source = write_source(tmp_path / "texts", three_splits())
    with pytest.raises(SourceError, match="listed twice"):
        read_sources([source, f"{source}/../texts"])
    with pytest.raises(SourceError, match=r"ingest\.sources is empty"):
        read_sources([])


def test_a_row_with_an_unquoted_comma_is_set_aside(tmp_path):
    source = tmp_path / "texts"
    header(source, "id,language,question_text,answer_text\nx,en,Hello, you,Good day.\ny,en,Good evening.,Good day.\n")
    store, manifest = run(tmp_path, settings_for(str(source)))
    (row,) = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    assert (row["rule"], row["row"]) == ("cells", 2) and "put texts with commas in quotes" in row["reason"]


def test_sources_of_one_name_keep_apart():
    assert source_names([Path("a/texts"), Path("b/texts"), Path("c")]) == ["texts", "texts-2", "c"]


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        assert not os.environ.get("CI"), "CI must be able to mount a tmpfs"
        pytest.skip("test of a full disk: mount is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_says_so_and_leaves_no_half_written_shard(tmp_path, small_disk):
    source = write_source(tmp_path / "texts", [turn(number, answer_text=f"It is {number}.") for number in range(24)])
    with pytest.raises(StorageError, match="is full; free some space and start again, finished shards are kept"):
        ingest(ArtifactStore(tmp_path / "store"), settings_for(source), small_disk / "home")
    assert [path.name for path in (small_disk / "home").rglob("*.part")] == []
    for path in (small_disk / "home").rglob("*.parquet"):
        pq.read_table(path)


def test_a_full_store_says_so_and_leaves_no_manifest(tmp_path, small_disk):
    source = write_source(tmp_path / "texts", three_splits())
    with pytest.raises(StorageError, match="is full"):
        ingest(ArtifactStore(small_disk / "store"), settings_for(source), tmp_path / "home")
    assert not (small_disk / "store" / "manifest").exists()
    assert list((tmp_path / "home" / "work").glob("ingest-*/*.parquet")), "finished shards wait for the next start"
