"""What benchmark takes and returns: how fast a model answers on this machine."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from data_contracts.base import Artifact, Settings

PER_ANSWER = "per_answer.parquet"
CHALLENGER, CHAMPION = "challenger", "champion"
ANSWER_TIMES = pa.schema(
    [
        pa.field("who", pa.string(), nullable=False),  # challenger or champion
        pa.field("round", pa.int32(), nullable=False),  # whole answers in round 0, then to the first sound
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("time_to_first_audio_s", pa.float64(), nullable=False),  # 0 when nothing sounds
        pa.field("total_s", pa.float64()),  # of whole answers
        pa.field("audio_s", pa.float64()),
    ]
)
"""Columns of per_answer.parquet."""


class BenchmarkSettings(Settings):
    """How latency is measured and what is fast enough."""

    questions: int = Field(40, ge=3)
    """Questions answered, after warm-up."""
    rounds: int = Field(3, ge=1, le=20)
    """With a champion: how often the two are asked each question in turn; its time to first audio is the median of these."""
    warmup: int = Field(2, ge=1)
    """Questions answered before the clock counts."""
    threads: int = Field(2, ge=1)
    """CPU threads of the served model."""
    max_time_to_first_audio_p95_ms: float = Field(1500.0, gt=0)
    """Gate: 95th percentile of the time from the end of the question to the first audio."""
    max_real_time_factor: float = Field(1.0, gt=0)
    """Gate: computing time over duration of the answer, median."""


class LatencyReport(Artifact):
    """latency.json and per_answer.parquet (ANSWER_TIMES).

    facts: time_to_first_audio_ms {p50,p95}, real_time_factor {p50,p95}, peak_memory_mb, answers, hardware,
    passed (bool), reasons (list of sentences); champion: the same figures of the champion, when it was timed beside.
    """

    kind: ClassVar[str] = "latency"
    told_in: ClassVar[str] = "latency.json"
