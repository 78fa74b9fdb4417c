"""What evaluate takes and returns: scores of one model on the sealed test split, an utterance a row."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from data_contracts.base import Artifact, Settings, member_of


class EvaluateSettings(Settings):
    """On how much, by which judge, with which metrics."""

    max_turns: int = Field(150, ge=5)
    """At most this many test turns, the first by turn_id."""
    judge: str = "bundled:whisper_base"
    """Speech recogniser that the model never saw: folder, hub id or bundled:NAME."""
    metrics: tuple[member_of("metrics"), ...] = (
        "answer_accuracy",
        "cascade_retention",
        "distill_mos",
        "speaker_similarity",
        "truncation",
        "word_error_rate",
    )
    """Members of omni_core/metrics/; a figure that compare guards can be left out only with its name in compare.unguarded."""
    perceptual_turns: int = Field(60, ge=1)
    """Turns scored by the perceptual metrics (they are slow), and teacher's recordings given to the judge."""
    clips_kept: int = Field(150, ge=0)
    """Turns whose sound is kept for listening tests and the report, the first by turn_id; the 20 worst are kept besides."""
    threads: int = Field(2, ge=1)
    """CPU threads of the model, the judge and the metrics."""


class EvaluationReport(Artifact):
    """per_utterance.parquet, slices.parquet, metrics.json and clips/*.ogg.

    facts["metrics"]: name -> {value, unit, better: "higher"|"lower", count, meaning, numerator, denominator, parts};
    facts["parts"]: part -> digest, of what decides the written answers (omni_core/answering_parts.py);
    facts["sealed_set"]: digest of the turns with their audio, equal for reports that can be compared;
    facts["judge_sha256"]: of the judge's weights; facts["look"]: which look at this sealed set it was, from 1.
    """

    kind: ClassVar[str] = "evaluation"
    told_in: ClassVar[str] = "metrics.json"
