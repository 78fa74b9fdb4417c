"""Answered turns and their scores enter, the files of an EvaluationReport leave.

per_utterance.parquet   a row a turn: texts, times, one column a score (null: not asked for)
slices.parquet          a figure of a slice a row: dimension, slice, figure, value, unit, better, count
metrics.json            the model's digest, settings, figure -> value, unit, better direction, count (the store writes it)
clips/0007-question.ogg, 0007-answer.ogg, 0007-teacher.ogg
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from omni_core.audio import encode_ogg
from omni_core.metrics import AnsweredTurn, Figure
from omni_core.sealed_set import SealedTurn

WORST_KEPT = 20
"""Turns whose sound is kept however few are asked for: a report without its worst answers hides what matters."""
_TEXTS = (
    "turn_id",
    "topic",
    "speaker",
    "source",
    "question_text",
    "heard_text",
    "answer_text",
    "spoken_text",
    "transcript",
)
_NUMBERS = ("duration_s", "teacher_duration_s", "time_to_first_audio_ms")
ROW = pa.schema([
    *(pa.field(name, pa.string(), nullable=False) for name in _TEXTS),
    pa.field("teacher_transcript", pa.string()),
    *(pa.field(name, pa.float64(), nullable=False) for name in _NUMBERS),
    pa.field("real_time_factor", pa.float64()),   # null when nothing was said
    pa.field("clip", pa.string()),                # clips/<clip>-<question|answer|teacher>.ogg, null when not kept
])  # fmt: skip
"""Columns of per_utterance.parquet before those of the metrics."""


SLICE = pa.schema([
    *(pa.field(name, pa.string(), nullable=False) for name in ("dimension", "slice", "figure", "unit", "better")),
    pa.field("value", pa.float64(), nullable=False),
    pa.field("count", pa.int64(), nullable=False),
])  # fmt: skip
"""Columns of slices.parquet."""


@dataclass(frozen=True)
class Reply:
    """What the model made of one question; times in seconds."""

    heard_text: str
    text: str
    waveform: np.ndarray
    sample_rate_hz: int
    time_to_first_audio_s: float
    total_s: float


def summary(figures: Sequence[Figure], columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Figure's name -> value, unit, better direction, turns counted, meaning, and the columns that it is made of."""
    return {
        figure.name: {
            "value": figure.of(columns), "unit": figure.unit, "better": figure.better, "count": figure.count(columns),
            "meaning": figure.meaning, "numerator": figure.numerator, "denominator": figure.denominator,
            "parts": figure.parts,
        }
        for figure in figures
    }  # fmt: skip


def clips_to_keep(columns: Mapping[str, np.ndarray], turns: int, first: int) -> dict[int, str]:
    """Turn's index -> clip's name: the first turns, and those with most word errors."""
    errors = np.asarray(columns.get("errors", np.zeros(turns)))
    worst = [int(i) for i in np.argsort(-errors, kind="stable")[:WORST_KEPT] if errors[i] > 0]
    return {index: f"{index:04d}" for index in sorted({*range(min(first, turns)), *worst})}


def write(
    folder: Path,
    turns: Sequence[SealedTurn],
    replies: Sequence[Reply],
    answered: Sequence[AnsweredTurn],
    columns: Mapping[str, np.ndarray],
    clips: Mapping[int, str],
) -> None:
    """The table and the clips; `clips` is what clips_to_keep said."""
    _write_table(folder, turns, replies, answered, columns, clips)
    (folder / "clips").mkdir()
    for index, name in clips.items():
        turn, reply = turns[index], replies[index]
        for what, waveform, rate in (("question", turn.question, turn.question_rate_hz),
                                     ("answer", reply.waveform, reply.sample_rate_hz),
                                     ("teacher", turn.teacher, turn.teacher_rate_hz)):  # fmt: skip
            if len(waveform):
                (folder / "clips" / f"{name}-{what}.ogg").write_bytes(encode_ogg(waveform, rate))


def write_slices(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """What omni_core.slices.by_slice returns -> slices.parquet."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SLICE), folder / "slices.parquet", compression="zstd")


def _write_table(
    folder: Path,
    turns: Sequence[SealedTurn],
    replies: Sequence[Reply],
    answered: Sequence[AnsweredTurn],
    columns: Mapping[str, np.ndarray],
    clips: Mapping[int, str],
) -> None:
    rows = [
        {
            "turn_id": turn.turn_id, "topic": turn.topic, "speaker": turn.speaker, "source": turn.source,
            "question_text": turn.question_text, "heard_text": reply.heard_text, "answer_text": turn.answer_text,
            "spoken_text": reply.text, "transcript": said.transcript, "teacher_transcript": said.teacher_transcript,
            "duration_s": len(reply.waveform) / reply.sample_rate_hz,
            "teacher_duration_s": len(turn.teacher) / turn.teacher_rate_hz,
            "time_to_first_audio_ms": 1000 * reply.time_to_first_audio_s,
            "real_time_factor": reply.total_s * reply.sample_rate_hz / len(reply.waveform) if len(reply.waveform) else None,
            "clip": clips.get(index),
        }
        for index, (turn, reply, said) in enumerate(zip(turns, replies, answered, strict=True))
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=ROW)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values, pa.float64(), from_pandas=True))  # NaN becomes null
    pq.write_table(table, folder / "per_utterance.parquet", compression="zstd")
