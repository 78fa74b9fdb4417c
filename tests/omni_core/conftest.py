"""What tests of evaluation share: a sealed set of real hibari speech, models that answer it, and reports made of numbers."""

from __future__ import annotations

import os
import subprocess
from collections import namedtuple
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.benchmark import ANSWER_TIMES, BenchmarkSettings, LatencyReport
from data_contracts.consistency import ConsistencyReport, ConsistencySettings
from data_contracts.evaluate import EvaluateSettings, EvaluationReport
from data_contracts.ingest import TURN, UTTERANCE, Manifest
from omni_core.audio import decode, encode_flac
from omni_core.consistency import gate
from omni_core.store import ArtifactStore

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAIRS = (
    ("Turn on the kitchen lights.", "The kitchen lights are now on.", "lights"),
    ("What is five plus four?", "Five plus four is nine.", "sums"),
    ("What is the capital of Brazil?", "The capital of Brazil is Brasilia.", "capitals"),
    ("Set a timer for ten minutes.", "Your timer is set for ten minutes.", "timers"),
    ("Turn off the bedroom lights.", "The bedroom lights are now off.", "lights"),
    ("It is raining in Oslo. What should I take?", "Take an umbrella in Oslo.", "weather"),
)
Answer = namedtuple("Answer", "heard_text text waveform sample_rate_hz time_to_first_audio_s total_s")


@pytest.fixture(scope="session")
def voice():
    """The teacher voice, 24 kHz."""
    from omni_core.teacher import load_voice

    return load_voice("hibari")


@pytest.fixture(scope="session")
def speech(voice) -> np.ndarray:
    """Two seconds of the teacher voice at 24 kHz."""
    return voice.speak("The light in the kitchen is on now.", seed=1)


@pytest.fixture(scope="session")
def weights() -> Path:
    """Where `make weights` has put the bundled weights."""
    return REPOSITORY / "var" / "weights"


@pytest.fixture(scope="session")
def pairs() -> tuple[tuple[str, str, str], ...]:
    """(question, answer, topic) of the sealed set."""
    return PAIRS


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore(tmp_path / "store")


@pytest.fixture(scope="session")
def spoken(voice) -> dict[str, bytes]:
    """Text -> FLAC at 24 kHz, of every sentence of PAIRS."""
    return {text: encode_flac(voice.speak(text, seed=1), voice.sample_rate_hz) for pair in PAIRS for text in pair[:2]}


@pytest.fixture
def manifest(store, spoken) -> Manifest:
    """A manifest of six test turns by two speakers; turn ids are not in the order of the rows."""
    with store.scratch(Manifest.kind) as folder:
        (folder / "sealed").mkdir()
        rows = {"question": [], "answer": []}
        turns = []
        for number, (question, answer, topic) in enumerate(PAIRS):
            for role, text in (("question", question), ("answer", answer)):
                rows[role].append(_utterance(f"{role}-{number}", role, text, f"voice-{number % 2}", spoken[text]))
            turns.append({"turn_id": f"{9 - number}f-lights/{number}", "question_id": f"question-{number}",
                          "answer_id": f"answer-{number}", "question_text": question, "answer_text": answer,
                          "topic": topic, "split": "test", "language": "en"})  # fmt: skip
        for role, table in rows.items():
            pq.write_table(pa.Table.from_pylist(table, schema=UTTERANCE), folder / f"sealed/{role}-00-00000.parquet")
        pq.write_table(pa.Table.from_pylist(turns, schema=TURN), folder / "sealed" / "turns.parquet")
        pq.write_table(pa.Table.from_pylist([], schema=TURN), folder / "turns.parquet")
        return store.commit(Manifest, folder, settings={"language": "en"}, licences={"tests": "Apache-2.0"})


def _utterance(name: str, role: str, text: str, speaker: str, audio: bytes) -> dict[str, Any]:
    numbers = dict.fromkeys(("clipped_fraction", "silence_fraction", "snr_db", "words_per_second"), 0.0)
    duration_s = len(decode(audio)[0]) / 24_000
    return {"utterance_id": name, "role": role, "source": "tests", "language": "en", "split": "test", "text": text,
            "speaker": speaker, "license": "Apache-2.0", "synthesized": True, "sample_rate_hz": 24_000,
            "source_sample_rate_hz": 24_000, "duration_s": duration_s, "audio": audio, **numbers}  # fmt: skip


class Parrot:
    """Knows every question by its samples; writes and says the right answer, unless `wrong` tells otherwise.

    wrong: question -> (text that it writes, waveform that it says).
    """

    def __init__(self, spoken: dict[str, bytes], wrong: dict[str, tuple[str, np.ndarray]] | None = None):
        self._question = {decode(spoken[question])[0].tobytes(): question for question, _, _ in PAIRS}
        self._answer = {question: (answer, decode(spoken[answer])[0]) for question, answer, _ in PAIRS} | (wrong or {})

    def hear(self, waveform: np.ndarray, sample_rate_hz: int) -> str:
        return self._question[waveform.tobytes()]

    def answer(self, waveform: np.ndarray, sample_rate_hz: int, seed: int = 0) -> Answer:
        heard = self.hear(waveform, sample_rate_hz)
        return Answer(heard, *self._answer[heard], 24_000, 0.2, 0.5)

    def answer_text(self, question: str) -> str:
        return {question: answer for question, answer, _ in PAIRS}[question]

    def round_trip(self, waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, int]:
        return waveform, sample_rate_hz


@pytest.fixture
def parrot(spoken):
    """Parrot with its mistakes handed in: parrot(wrong={question: (text, waveform)})."""
    return lambda wrong=None: Parrot(spoken, wrong)


@pytest.fixture(scope="session")
def judge(weights):
    """The smallest real recogniser, English only."""
    from omni_core.judge import load_judge

    return load_judge(str(weights / "whisper_tiny_en"))


METRICS = {
    "own_speech_wer": {"unit": "fraction", "better": "lower", "numerator": "errors", "denominator": "reference_words"},
    "answer_accuracy": {
        "unit": "fraction",
        "better": "higher",
        "numerator": "correct",
        "denominator": None,
        "parts": "text",
    },
    "distill_mos": {"unit": "MOS", "better": "higher", "numerator": "mos", "denominator": None},
}


GUARDED_TOO = {
    "speaker_similarity": {"unit": "cosine", "better": "higher", "numerator": "similarity", "denominator": None},
    "cascade_retention": {
        "unit": "fraction",
        "better": "higher",
        "numerator": "heard_right",
        "denominator": "read_right",
        "parts": "text",
    },
}
"""The other two guards, for reports that are made with their columns."""


@pytest.fixture
def make_report(store):
    """make_report(errors=, reference_words=, correct=, mos=, speaker=, sealed_set=, judge=, settings=, metrics=) -> EvaluationReport.

    Columns of speaker similarity and cascade retention make their figures too; `without`: figures and facts that it lacks;
    `parts`: what it tells of the parts that answered, part -> digest.
    """

    def make(
        *, speaker=None, sealed_set="a" * 32, judge="f" * 64, settings=None, without=(), parts=None, **columns
    ) -> EvaluationReport:
        turns = len(columns["errors"])
        table = {
            "turn_id": [f"turn-{i:03d}" for i in range(turns)],
            "speaker": list(speaker) if speaker is not None else [f"voice-{i % 5}" for i in range(turns)],
            "spoken_text": [f"Answer {i}." for i in range(turns)],
            **columns,
        }
        with store.scratch(EvaluationReport.kind) as folder:
            pq.write_table(
                pa.table({k: pa.array(v, from_pandas=True) for k, v in table.items()}), folder / "per_utterance.parquet"
            )
            measured = METRICS | {name: m for name, m in GUARDED_TOO.items() if m["numerator"] in columns}
            facts = {"metrics": {name: m | {"meaning": "", "value": 0.0, "count": turns} for name, m in measured.items()
                                 if name not in without},
                     "sealed_set": sealed_set, "turns": turns, "judge_sha256": judge}  # fmt: skip
            facts |= {"parts": parts} if parts else {}
            facts = {name: fact for name, fact in facts.items() if name not in without}
            return store.commit(EvaluationReport, folder, facts=facts,
                                settings=EvaluateSettings(**(settings or {})).model_dump(mode="json"))  # fmt: skip

    return make


@pytest.fixture
def make_latency(store):
    """make_latency(passed=True) -> LatencyReport of forty answers; of the champion's too, at its own p95, when it is given."""

    def make(
        passed: bool = True, champion_ms: float | None = 400.0, challenger_ms: float = 400.0, **card
    ) -> LatencyReport:
        factor = 0.5 if passed else 1.5
        sides = {"challenger": challenger_ms} | ({"champion": champion_ms} if champion_ms is not None else {})
        rows = [
            {"who": who, "round": 0, "question_id": f"question-{i}", "source": "tests", "speaker": f"voice-{i % 5}",
             "time_to_first_audio_s": wait_ms * (1 + i / 100) / 1000, "total_s": 2.0 * factor, "audio_s": 2.0}
            for i in range(40) for who, wait_ms in sides.items()
        ]  # fmt: skip
        with store.scratch(LatencyReport.kind) as folder:
            pq.write_table(pa.Table.from_pylist(rows, schema=ANSWER_TIMES), folder / "per_answer.parquet")
            facts = {"time_to_first_audio_ms": {"p50": 500.0, "p95": 590.0}, "real_time_factor": {"p50": factor, "p95": factor},
                     "peak_memory_mb": 900, "answers": 40, "hardware": "a test, 1 thread", "passed": passed,
                     "reasons": [] if passed else ["real-time factor is 1.50, over the bound of 1.00"]}  # fmt: skip
            return store.commit(
                LatencyReport, folder, settings=BenchmarkSettings().model_dump(mode="json"), facts=facts, **card
            )

    return make


@pytest.fixture
def make_consistency(store):
    """make_consistency(own_speech_wer=0.1) -> ConsistencyReport of three answers, measured against the usual bounds."""

    def make(own_speech_wer: float = 0.1) -> ConsistencyReport:
        facts = {
            "own_speech_wer": own_speech_wer,
            "words": 20,
            "answers": 3,
            "ended_answers": 1.0,
            "speech_on_silence_s": 0.0,
        }
        rows, reasons = gate(facts, ConsistencySettings())
        facts |= {"passed": not reasons, "reasons": reasons, "checks": [asdict(row) for row in rows]}
        with store.scratch(ConsistencyReport.kind) as folder:
            return store.commit(ConsistencyReport, folder, facts=facts)

    return make


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        assert not os.environ.get("CI"), "CI must be able to mount a tmpfs"
        pytest.skip("test of a full disk: mount is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
