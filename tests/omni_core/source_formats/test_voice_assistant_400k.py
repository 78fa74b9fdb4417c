"""VoiceAssistant-400K: answers keep their codes, known flaws have reasons, and what sound needs is said in a sentence."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ComponentError, SettingsError, SourceError
from data_contracts.ingest import CODED_UTTERANCE, UTTERANCE, VoiceSettings
from omni_core import answer_codes
from omni_core.audio import decode
from omni_core.records import drawn_split
from omni_core.sources import read_sources
from omni_core.tables import rows, waveform_of
from tests.omni_core.made_sources import ANY, run, settings_for, three_splits, utterances, write_source
from tests.omni_core.source_formats.made_folders import SCHEMA, make, prompts, save_to_disk, snac, voice_assistant_row

SILENT = VoiceSettings(teacher=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make("voice_assistant_400k", tmp_path_factory.mktemp("published"))[0]


@pytest.fixture(scope="module")
def ingested(folder, tmp_path_factory):
    return run(tmp_path_factory.mktemp("ingested"), settings_for(str(folder), voice=SILENT))


def test_questions_have_sound_and_answers_have_codes(ingested):
    store, manifest = ingested
    questions, answers = utterances(store, manifest, "question"), utterances(store, manifest, "answer")
    assert len(questions) == len(answers) == manifest.facts["without_sound"] == 6
    assert {(row["sample_rate_hz"], row["source_sample_rate_hz"]) for row in questions} == {(16_000, 22_050)}
    assert {row["audio"] for row in answers} == {b""} and not any(row["synthesized"] for row in answers)
    assert {round(row["duration_s"], 3) for row in answers} == {round(47 * 2048 / 24_000, 3)}
    assert all(np.isnan([row["snr_db"], row["silence_fraction"], row["clipped_fraction"]]).all() for row in answers)


def test_the_codes_of_an_answer_are_those_of_its_row(ingested):
    found = {row["text"]: row for row in utterances(*ingested, "answer")}
    for number in range(6):
        row = found[f"Here is what I know about item {number}."]
        codes = answer_codes.codes_of(row, "snac", 24_000)
        assert codes.numpy().tolist() == answer_codes.parse(snac(47, number)).tolist()


def test_only_shards_with_codes_have_their_columns(ingested):
    store, manifest = ingested
    schemas = {
        role: pq.read_schema(store.folder(manifest) / manifest.shards(role)[0]) for role in ("question", "answer")
    }
    assert schemas == {"question": UTTERANCE, "answer": CODED_UTTERANCE}


def test_what_needs_the_sound_of_codes_alone_is_refused_with_three_mends(ingested):
    store, manifest = ingested
    row = next(rows(store, manifest, manifest.shards("answer")[0], ["audio"]))
    with pytest.raises(SourceError, match=r"no waveform.*snac_weights.*'speak'.*codec snac"):
        waveform_of(row, 22_050)


def test_reasons_name_the_flaw(ingested):
    store, manifest = ingested
    rejected = pq.read_table(store.folder(manifest) / "rejected" / "rejected.parquet").to_pylist()
    reasons = "\n".join(row["reason"] for row in rejected)
    assert "split_name is 'identity'" in reasons and "the question lasts 15.0 s" in reasons
    assert "text of 189 characters is longer than its 4.0 s of codes can say" in reasons
    assert '"file": "train-00001-of-00002.parquet"' in rejected[0]["record"]


def test_decoding_without_weights_is_refused_before_anything_is_read(tmp_path):
    voice = VoiceSettings(coded_answers="decode")
    with pytest.raises(SettingsError, match=r"needs the weights of SNAC's 24 kHz decoder: name their folder"):
        run(tmp_path, settings_for(str(tmp_path / "not there"), voice=voice))
    assert not (tmp_path / "store").exists()


def test_with_snac_weights_answers_have_sound_beside_their_codes(folder, tmp_path):
    """SNAC's real classes at small size with random weights: the sound is noise, so no quality is asked of it."""
    from tests.omni_core.codecs.tiny_codecs import write_snac

    (tmp_path / "snac").mkdir()
    weights = write_snac(tmp_path / "snac", codebook_size=answer_codes.CODEBOOK_SIZE)
    quality = ANY.model_copy(update={"min_snr_db": -10.0, "max_silence_fraction": 1.0, "max_clipped_fraction": 1.0})
    voice = VoiceSettings(teacher=None, coded_answers="decode", snac_weights=weights)
    answers = utterances(*run(tmp_path, settings_for(str(folder), voice=voice, quality=quality)), "answer")
    assert len(answers) == 6 and not any(np.isnan(row["snr_db"]) for row in answers)
    for row in answers:
        codes = answer_codes.codes_of(row, "snac", 24_000).numpy()
        waveform, rate_hz = decode(row["audio"])
        assert rate_hz == row["sample_rate_hz"] == 24_000
        again = answer_codes.decode(codes, weights)
        np.testing.assert_allclose(waveform, np.clip(again, -1, 1), atol=1 / 32_768)


def test_weights_of_another_snac_are_refused(tmp_path):
    from tests.omni_core.codecs.tiny_codecs import write_snac

    with pytest.raises(ComponentError, match="the answers' codes are of SNAC at 24000 Hz with 7 streams of 4096"):
        answer_codes.decode(np.zeros((7, 1), np.int16), write_snac(tmp_path, codebook_size=16))


def test_the_teacher_voice_can_say_the_answers_instead(folder, tmp_path):
    settings = settings_for(str(folder), voice=VoiceSettings(coded_answers="speak"))
    answers = utterances(*run(tmp_path, settings), "answer")
    assert len(answers) == 6 and all(row["synthesized"] and row["audio"] for row in answers)


def test_it_stands_beside_other_sources(folder, tmp_path):
    texts = write_source(tmp_path / "texts", three_splits())
    store, manifest = run(tmp_path, settings_for(texts, str(folder)))
    assert manifest.facts["sources"]["texts"] == {"read": 5, "accepted": 5}
    plain, coded = ("utterances/answer-00-00000.parquet", "utterances/answer-01-00000.parquet")
    assert pq.read_schema(store.folder(manifest) / plain) == UTTERANCE
    assert manifest.shards("answer") == [plain, coded]


def test_it_is_known_also_as_save_to_disk_writes_it(tmp_path):
    table = pa.Table.from_pylist([voice_assistant_row(n, *row) for n, row in enumerate(prompts(3))], SCHEMA)
    folder = tmp_path / "arrow"
    folder.mkdir()
    save_to_disk(folder, table)
    records = read_sources(settings_for(str(folder)))
    assert [record.answer.codec for record in records] == [answer_codes.SNAC_24KHZ] * 3


def test_a_shard_that_lacks_a_column_is_named(folder, tmp_path):
    (tmp_path / "data").mkdir()
    table = pa.Table.from_pylist([voice_assistant_row(n, *row) for n, row in enumerate(prompts(1))], SCHEMA)
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(table.drop_columns("answer_snac"), tmp_path / "data" / "train-00001-of-00002.parquet")
    with pytest.raises(SourceError, match=r"train-00001-of-00002\.parquet lacks the column 'answer_snac'"):
        read_sources(settings_for(str(tmp_path)))


def test_drawn_splits_have_the_share_asked_for_and_do_not_depend_on_other_texts():
    splits = [drawn_split(f"What is {number}?", 0.05) for number in range(4_000)]
    assert 160 < splits.count("test") < 240 and 160 < splits.count("validation") < 240
    assert drawn_split("what is 7", 0.05) == drawn_split("What is 7?", 0.05) == splits[7]
    assert {drawn_split(f"{number}", 0.0) for number in range(100)} == {"train"}
