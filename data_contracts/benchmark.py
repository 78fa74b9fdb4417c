"""What benchmark takes and returns: how fast a model answers on this machine."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from data_contracts.base import Artifact, Settings


class BenchmarkSettings(Settings):
    """How latency is measured and what is fast enough."""

    questions: int = Field(30, ge=3)
    """Questions answered, after warm-up."""
    warmup: int = Field(2, ge=1)
    """Questions answered before the clock counts."""
    threads: int = Field(2, ge=1)
    """CPU threads of the served model."""
    max_time_to_first_audio_p95_ms: float = Field(1500.0, gt=0)
    """Gate: 95th percentile of the time from the end of the question to the first audio."""
    max_real_time_factor: float = Field(1.0, gt=0)
    """Gate: computing time over duration of the answer, median."""


class LatencyReport(Artifact):
    """latency.json and per_answer.parquet.

    facts: time_to_first_audio_ms {p50,p95}, real_time_factor {p50,p95}, peak_memory_mb, answers, hardware,
    passed (bool), reasons (list of sentences).
    """

    kind: ClassVar[str] = "latency"
