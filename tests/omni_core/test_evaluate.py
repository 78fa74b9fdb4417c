"""Evaluation asks the sealed questions, counts what comes back, and stops rather than report a number that is none."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import MetricError, SourceError, StorageError
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import TURN, UTTERANCE, Manifest
from omni_core import tables
from omni_core.audio import decode
from omni_core.evaluate import checked, score_model
from omni_core.metrics.truncation import Truncation
from omni_core.sealed_looks import LOG, looks
from omni_core.sealed_set import Reader, digest_of, open_sealed

SETTINGS = EvaluateSettings(max_turns=5, perceptual_turns=2, clips_kept=2, threads=1)


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path, "test", "m")


@pytest.fixture
def run(store, manifest, judge, tmp_path):
    def score(model, settings=SETTINGS):
        sealed = open_sealed(store, manifest, settings.max_turns, Reader(tmp_path, "test", "m"))
        facts = score_model(model, judge, sealed.turns, sealed.language, settings, tmp_path)
        return facts, pq.read_table(tmp_path / "per_utterance.parquet").to_pylist()

    return score


def test_the_sealed_set_is_the_first_turns_by_id_with_both_sides_audio(store, manifest, pairs, reader):
    sealed = open_sealed(store, manifest, 5, reader)
    turns = sealed.turns
    assert sealed.language == "en" and [turn.turn_id for turn in turns] == sorted(turn.turn_id for turn in turns)
    assert turns[0].question_text == pairs[5][0] and turns[0].speaker == "voice-1"
    assert len(turns[0].question) > 24_000 < len(turns[0].teacher)
    again = open_sealed(store, manifest, 5, reader)
    assert sealed.digest == again.digest != digest_of(turns[:4]) and (sealed.look, again.look) == (1, 2)
    assert looks(reader.home)[-1]["reader"] == "test"


def test_no_turn_is_handed_out_when_the_look_cannot_be_logged(store, manifest, reader):
    (reader.home / LOG).mkdir()
    with pytest.raises(StorageError, match="cannot be logged"):
        open_sealed(store, manifest, 5, reader)


def test_no_one_else_can_open_the_test_split(store, manifest):
    assert tables.turns(store, manifest, "train") == []
    with pytest.raises(SourceError, match=r"the test split is sealed.*logs every look"):
        tables.turns(store, manifest, "test")


def test_a_perfect_model_has_no_errors_but_the_judges(run, parrot, tmp_path):
    facts, rows = run(parrot())
    metrics = facts["metrics"]
    assert metrics["answer_accuracy"]["value"] == 1 and metrics["question_wer"]["value"] == 0
    assert metrics["own_speech_wer"]["value"] <= 0.1 and metrics["own_speech_wer"]["count"] == 5
    assert metrics["distill_mos"]["count"] == metrics["teacher_wer"]["count"] == 2
    assert metrics["distill_mos_gap"]["value"] == pytest.approx(
        0, abs=1e-6
    )  # it speaks with the teacher's own recordings
    assert rows[0]["time_to_first_audio_ms"] == 200 and rows[0]["real_time_factor"] == pytest.approx(
        0.5 / rows[0]["duration_s"]
    )


def test_mistakes_are_counted_where_they_were_made(run, parrot, pairs, spoken):
    question, answer, _ = pairs[1]  # five plus four
    said_otherwise = decode(spoken[pairs[2][1]])[0]
    facts, rows = run(
        parrot({question: (answer, said_otherwise), pairs[4][0]: ("The lights are purple.", np.zeros(0, np.float32))})
    )
    by_question = {row["question_text"]: row for row in rows}
    assert by_question[question]["correct"] == 1 and by_question[question]["spoken_correct"] == 0
    assert by_question[question]["errors"] >= 4
    silent = by_question[pairs[4][0]]
    assert (silent["correct"], silent["silent"], silent["transcript"], silent["real_time_factor"]) == (0, 1, "", None)
    assert silent["errors"] == silent["reference_words"] == 4
    assert facts["metrics"]["answer_accuracy"]["value"] == 0.8


def test_clips_of_the_first_turns_and_of_the_worst_are_kept_and_audible(run, parrot, pairs, tmp_path):
    _, rows = run(parrot({pairs[1][0]: ("something else entirely", decode_silence())}))
    kept = {row["question_text"]: row["clip"] for row in rows if row["clip"]}
    assert set(kept) == {pairs[5][0], pairs[4][0], pairs[1][0]}
    for name in kept.values():
        for what in ("question", "answer", "teacher"):
            waveform, rate = decode(tmp_path / "clips" / f"{name}-{what}.ogg")
            assert rate == 24_000 and len(waveform) > 10_000


def decode_silence():
    return np.zeros(24_000, np.float32)


def test_a_spoken_answer_with_samples_that_are_no_numbers_names_its_turn(run, parrot, pairs):
    with pytest.raises(MetricError, match="turn 8f-lights/1 holds samples that are not numbers"):
        run(parrot({pairs[1][0]: ("nine", np.array([0.0, np.nan], np.float32))}))


def test_a_score_that_is_no_number_names_metric_and_turn(monkeypatch, parrot, store, manifest):
    class Turn:
        turn_id = "turn-7"

    monkeypatch.setattr(Truncation, "score", lambda self, turns: {"silent": [float("inf")]})
    with pytest.raises(MetricError, match="silent of turn turn-7 is inf"):
        checked(Truncation(), [Turn()])


def test_every_cheap_metric_joins_in_one_table_and_slices_add_up(run, parrot, tmp_path):
    names = ("answer_accuracy", "cascade_retention", "character_error_rate", "duration_ratio", "latency", "log_f0",
             "mel_cepstral_distortion", "semantic_accuracy", "silence", "truncation", "voicing_error", "word_error_rate")  # fmt: skip
    facts, rows = run(parrot(), SETTINGS.model_copy(update={"metrics": names}))
    metrics = facts["metrics"]
    assert (
        metrics["cascade_retention"]["value"] == 1 and metrics["cascade_retention"]["count"] == 5
    )  # a guard: not on the first turns only
    assert metrics["mel_cepstral_distortion"]["value"] == 0 and metrics["comparable_answers"]["value"] == 1
    assert metrics["mean_first_audio_ms"]["value"] == pytest.approx(200)
    assert {"correct", "same_content", "mcd_db", "first_audio_ms", "time_to_first_audio_ms"} <= set(rows[0])
    slices = pq.read_table(tmp_path / "slices.parquet").to_pylist()
    assert {row["dimension"] for row in slices} == {"language", "speaker", "topic", "length", "noise"}
    for dimension in ("language", "speaker", "topic", "length", "noise"):
        assert sum(r["count"] for r in slices if (r["dimension"], r["figure"]) == (dimension, "own_speech_wer")) == 5


def test_no_test_turn_is_refused(store, reader):
    with store.scratch(Manifest.kind) as folder:
        (folder / "sealed").mkdir()
        pq.write_table(pa.Table.from_pylist([], schema=TURN), folder / "sealed" / "turns.parquet")
        empty = store.commit(Manifest, folder)
    with pytest.raises(SourceError, match="no test turn to evaluate on"):
        open_sealed(store, empty, 5, reader)


def test_an_answer_of_codes_alone_is_one_sentence_with_its_mend(store, manifest, reader):
    with store.scratch(Manifest.kind) as folder:
        shutil.copytree(store.folder(manifest), folder, dirs_exist_ok=True)
        path = folder / "sealed" / "answer-00-00000.parquet"
        rows = [row | {"audio": b""} for row in pq.read_table(path).to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), path)
        coded = store.commit(Manifest, folder)
    with pytest.raises(SourceError, match=r"test turn 4f-lights/5 came as codes alone.*coded_answers.*'speak'"):
        open_sealed(store, coded, 5, reader)


def test_a_row_says_where_its_speaker_is_from(run, parrot):
    _, rows = run(parrot())
    assert {(row["source"], row["speaker"]) for row in rows} == {("tests", "voice-0"), ("tests", "voice-1")}


def test_a_report_in_the_store_can_be_compared_with_itself(store, manifest, judge, parrot, make_latency, reader):
    from data_contracts.compare import CompareSettings
    from omni_core.compare import compare

    sealed = open_sealed(store, manifest, 5, reader)
    with store.scratch(EvaluationReport.kind) as folder:
        facts = score_model(parrot(), judge, sealed.turns, sealed.language, SETTINGS, folder)
        facts |= {"judge_sha256": "f" * 64}
        report = store.commit(EvaluationReport, folder, settings=SETTINGS.model_dump(mode="json"), facts=facts)
    told = json.loads((store.folder(report) / "metrics.json").read_text())
    assert told["metrics"] == facts["metrics"] and told["settings"]["judge"] == SETTINGS.judge
    verdict = compare(store, report, report, make_latency(), CompareSettings(replicates=200))
    assert verdict.facts["decision"] == "INCONCLUSIVE" and verdict.inputs["challenger"] == report.digest
