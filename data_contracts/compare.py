"""What compare takes and returns: two evaluations on the same sealed set, and a verdict that explains itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from data_contracts.base import Artifact, Settings

LISTENERS = "listener_preference"
"""The figure of a listening test; a target when compare.targets names it, a guard always."""
Guarded = Literal[
    "own_speech_wer",
    "answer_accuracy",
    "distill_mos",
    "speaker_similarity",
    "cascade_retention",
    "time_to_first_audio_p95_ms",
]
MEASURED_BY: dict[Guarded, str] = {
    "own_speech_wer": "word_error_rate",
    "answer_accuracy": "answer_accuracy",
    "distill_mos": "distill_mos",
    "speaker_similarity": "speaker_similarity",
    "cascade_retention": "cascade_retention",
}
"""Guarded figure -> the member of evaluate.metrics that measures it; the time to first audio is the benchmark's."""


class GateSettings(Settings):
    """Absolute gates, used alone while there is no champion."""

    max_own_speech_wer: float = Field(0.25, ge=0, le=100)
    """Own-speech word error rate, as a fraction."""
    min_answer_accuracy: float = Field(0.5, ge=0, le=1)
    """Right answers, as a fraction."""
    min_distill_mos: float = Field(2.0, ge=1, le=5)
    """DistillMOS of the spoken answers."""


class CompareSettings(Settings):
    """Margins of non-inferiority, the targets, how much data is enough, and the bootstrap."""

    replicates: int = Field(2000, ge=200)
    """Bootstrap replicates."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Confidence of each one-sided bound."""
    seed: int = 0
    """Seed of the resampling."""
    wer_margin: float = Field(0.005, ge=0)
    """Largest own-speech WER loss that counts as no worse (fraction)."""
    accuracy_margin: float = Field(0.03, ge=0)
    """Largest loss of answer accuracy that counts as no worse (fraction)."""
    mos_margin: float = Field(0.05, ge=0)
    """Largest DistillMOS loss that counts as no worse."""
    speaker_similarity_margin: float = Field(0.01, ge=0)
    """Largest loss of speaker similarity (cosine) that counts as no worse."""
    retention_margin: float = Field(0.01, ge=0)
    """Largest loss of cascade retention that counts as no worse (fraction)."""
    time_to_first_audio_margin: float = Field(0.05, ge=0)
    """Largest rise of the 95th percentile of the time to first audio that counts as no worse (share of the champion's)."""
    targets: tuple[str, ...] = Field(("own_speech_wer", "answer_accuracy", "distill_mos"), min_length=1)
    """Figures of which one has to be better; each more makes every one harder to show (Holm). listener_preference may be
    one: what people preferred in the listening test."""
    power: float = Field(0.8, ge=0, lt=1)
    """Chance that an equal model clears each guard, computed before the gain is looked at; with less, only a figure that
    is shown to be better clears."""
    min_turns: int = Field(30, ge=2)
    """Fewer scored turns of a guarded figure are too few to judge."""
    min_speakers: int = Field(4, ge=2)
    """Fewer speakers are too few to judge, unless the whole sealed set is one speaker's."""
    unguarded: tuple[Guarded, ...] = ()
    """Figures whose loss stops no promotion, and that have no gate without a champion; the verdict lists them. All others
    have to be measured."""
    gates: GateSettings = GateSettings()
    listening_required: bool = False
    """Nothing is promoted over a champion before people have compared the two by ear (`omni listen`)."""
    listening_result: str | None = None
    """Digest of the listening result of this challenger and this champion; one more guard, and a target if targets say so."""
    listening_margin: float = Field(0.1, ge=0, le=1)
    """Largest loss of listeners' preference that counts as no worse: share for the challenger minus share for the champion."""


def unmeasured(guards: CompareSettings, metrics: tuple[str, ...]) -> list[Guarded]:
    """Guarded figures that these metrics do not measure: a comparison would be refused."""
    return [name for name, metric in MEASURED_BY.items() if metric not in metrics and name not in guards.unguarded]


Decision = Literal["PROMOTE", "REJECT", "INCONCLUSIVE"]


class Verdict(Artifact):
    """verdict.json. inputs: challenger, champion, latency, consistency, listening, as far as they were asked. facts: decision, reasons (sentences), comparisons (figure -> estimate, bounds, n, clusters, power, rule),
    unguarded (figures that nothing guards)."""

    kind: ClassVar[str] = "verdict"
    told_in: ClassVar[str] = "verdict.json"
