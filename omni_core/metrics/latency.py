"""Speed: the times of answers enter, mean waiting and computing a second of sound leave. Lower is better.

    mean_first_audio_ms   from the end of the question to the first sound, milliseconds, mean of answers that sound
    seconds_per_second    computing over sound, seconds a second, ratio of sums; under 1 the speech never runs dry

`score` reads the times of evaluated turns, so they can be cut by slice and paired turn by turn; evaluate shares its process
with the judge and may share the machine. `columns_of` reads the same columns from the benchmark's per_answer.parquet,
measured alone in a process of its own after warm-up: that is the number to gate on, and its p50 and p95 are in
latency.json, because a percentile is no ratio of sums.

Do not read it across machines or thread counts, nor as what a caller waits: the network and the end of the question (a pause
has to be waited for) come on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class Latency:
    """Times of turns whose answer sounds."""

    is_slow = False
    figures = (
        Figure("mean_first_audio_ms", "ms", "lower", "waiting for the first sound", "first_audio_ms"),
        Figure("seconds_per_second", "s/s", "lower", "computing a second of sound", "compute_s", "audio_s"),
    )

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """None where the times were not taken or nothing sounds."""
        return columns_of([
            {"time_to_first_audio_s": t.time_to_first_audio_s, "total_s": t.total_s,
             "audio_s": len(t.waveform) / t.sample_rate_hz}
            for t in turns
        ])  # fmt: skip


def columns_of(answers: Sequence[Mapping[str, float | None]]) -> Columns:
    """Rows of time_to_first_audio_s, total_s and audio_s, as in the benchmark's per_answer.parquet -> columns."""
    columns: Columns = {"first_audio_ms": [], "compute_s": [], "audio_s": []}
    for row in answers:
        first_s, total_s, audio_s = (row[name] for name in ("time_to_first_audio_s", "total_s", "audio_s"))
        sounds = first_s is not None and total_s is not None and bool(audio_s)
        columns["first_audio_ms"].append(1000 * first_s if sounds and first_s is not None else None)
        columns["compute_s"].append(total_s if sounds else None)
        columns["audio_s"].append(audio_s if sounds else None)
    return columns


def load(pack: LanguagePack, threads: int = 1) -> Latency:
    """The metric; times have no language."""
    return Latency()
