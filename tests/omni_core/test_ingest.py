"""Ingest loses no record and writes the same bytes for the same data, and the same shards for more of it."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from data_contracts.errors import SourceError
from data_contracts.ingest import REJECTED, TURN, UTTERANCE, Manifest, QualitySettings
from omni_core import shards, tables
from omni_core.audio import decode
from omni_core.store import ArtifactStore
from omni_core.teacher import load_voice
from tests.omni_core.made_sources import ANY, run, settings_for, three_splits, turn, utterances, write_source


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> tuple[ArtifactStore, Manifest]:
    folder = tmp_path_factory.mktemp("spoken")
    return run(folder, settings_for(write_source(folder / "texts", three_splits()), quality=QualitySettings()))


def test_texts_are_spoken_into_turns_of_the_schema(spoken):
    store, manifest = spoken
    folder = store.folder(manifest)
    turns = pa.concat_tables([pq.read_table(folder / "turns.parquet"), pq.read_table(folder / "sealed/turns.parquet")])
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


def test_the_test_split_lies_in_files_of_its_own_that_no_stage_of_training_is_handed(spoken):
    store, manifest = spoken
    folder, sealed = store.folder(manifest), [name for name in manifest.files if name.startswith("sealed/")]
    assert sorted(sealed) == [
        "sealed/answer-00-00000.parquet",
        "sealed/question-00-00000.parquet",
        "sealed/turns.parquet",
    ]
    for name in manifest.files:
        if name.endswith(".parquet") and "split" in pq.read_schema(folder / name).names:
            splits = set(pq.read_table(folder / name)["split"].to_pylist())
            assert splits == {"test"} if name in sealed else splits <= {"train", "validation"}, name
    handed = [shard for role in ("question", "answer", "speech") for shard in manifest.shards(role)]
    assert len(handed) == 2 and not set(handed) & set(sealed)
    with pytest.raises(SourceError, match=r"the test split is sealed.*logs every look"):
        list(tables.rows(store, manifest, manifest.sealed_shards("answer")[0]))


def test_more_test_turns_change_no_shard_that_is_trained_on(tmp_path):
    source = write_source(tmp_path / "a", three_splits())
    _, before = run(tmp_path, settings_for(source))
    write_source(tmp_path / "a", [turn(70, split="test"), *three_splits()])
    _, after = run(tmp_path, settings_for(source))
    assert set(unchanged_shards(before, after)) == {*before.shards("question"), *before.shards("answer")}
    assert before.files["turns.parquet"] == after.files["turns.parquet"] and after.facts["turns"]["test"] == 2


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
        "splits_apart",
        "totals",
    }


def test_the_same_data_gives_the_same_bytes_wherever_it_lies_and_however_many_processes(tmp_path, spoken, monkeypatch):
    monkeypatch.setattr(shards, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    source = write_source(tmp_path / "elsewhere" / "texts", three_splits())
    _, again = run(tmp_path, settings_for(source, quality=QualitySettings()))
    assert again.digest == spoken[1].digest


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
    assert after.shards("question") == before.shards("question")
    assert after.sealed_shards("question") == [f"sealed/question-0{source}-00000.parquet" for source in (0, 1)]
    rest = settings_for(first, quality=ANY, shard_rows=8)
    _, without_leak = run(tmp_path, rest)
    assert {"utterances/question-00-00000.parquet", "utterances/answer-00-00000.parquet"} <= set(
        unchanged_shards(before, without_leak)
    )
    assert "utterances/question-00-00001.parquet" in unchanged_shards(without_leak, after)


def test_an_answer_that_a_later_source_gives_too_stays_in_the_shard_of_the_first(tmp_path):
    """It once took the later source's name, and its whole shard was computed again."""
    first = write_source(tmp_path / "a", [turn(1), turn(2)])
    _, before = run(tmp_path, settings_for(first))
    second = write_source(tmp_path / "b", [turn(61, answer_text=turn(1)["answer_text"])])
    _, after = run(tmp_path, settings_for(first, second))
    assert len(after.shards("question")) == 2 and after.shards("answer") == before.shards("answer")
    assert set(unchanged_shards(before, after)) == {*before.shards("question"), *before.shards("answer")}


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
    store, manifest = run(tmp_path, settings_for(source, licences={source: "CC-BY-4.0"}))
    heard = utterances(store, manifest, "speech")
    assert [(row["sample_rate_hz"], row["speaker"], row["license"], row["split"]) for row in heard] == [
        (24_000, "ann", "CC-BY-4.0", "train")
    ] * 3
    assert manifest.facts["minutes"]["speech"]["train"] > 0 and manifest.shards("question") == []
