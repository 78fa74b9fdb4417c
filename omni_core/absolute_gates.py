"""One model's scores enter, where each figure stands against its gate leaves: what decides while there is no champion.

                     unfavourable bound inside    favourable bound outside    between      too few turns or speakers
    own_speech_wer
    answer_accuracy          passed                     failed                 open                 few
    distill_mos

Bounds and not the estimate, as a champion has to be beaten with bounds too: on few turns an estimate passes by luck, and a
first model that got in by luck is what all that follow are measured against. All gates have to be passed, so each is looked
at with `confidence` as it is (intersection-union test, Berger 1982): a model that is just outside of one gate is promoted in
at most 1 - confidence of the cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_contracts.compare import CompareSettings
from omni_core import power
from omni_core.bootstrap import Precision, clusters_of
from omni_core.gains import value_of_ratio
from omni_core.metrics import Figure
from omni_core.paired_scores import interval, unseen_in
from omni_core.reasons import plain, sample, too_few
from omni_core.scores import Scores

GATES = {
    "own_speech_wer": "max_own_speech_wer",
    "answer_accuracy": "min_answer_accuracy",
    "distill_mos": "min_distill_mos",
}
"""Figure -> its gate in GateSettings."""
LEAST_MOS = 1.0
Standing = Literal["few", "failed", "open", "passed"]


@dataclass(frozen=True)
class Gate:
    """One figure of one model against its limit."""

    figure: Figure
    limit: float
    value: float
    lower: float
    upper: float
    n: int
    speakers: int
    clusters: int
    """What was drawn: the speakers, or the turns of a single speaker."""
    precision: Precision
    units: float
    """Words or turns, where all of them agree; else 0."""

    @property
    def sign(self) -> int:
        """1 for a limit from below, -1 for one from above."""
        return 1 if self.figure.better == "higher" else -1

    def standing(self, settings: CompareSettings) -> Standing:
        """See the module's picture."""
        worst, best = (self.lower, self.upper) if self.sign > 0 else (self.upper, self.lower)
        if self.n < settings.min_turns or self.clusters < settings.min_speakers:
            return "few"
        if self.sign * (worst - self.limit) >= 0:
            return "passed"
        return "failed" if self.sign * (best - self.limit) < 0 else "open"


def gates_of(scores: Scores, settings: CompareSettings) -> list[Gate]:
    """Every gate but those of figures that nobody guards."""
    return [_gate(name, scores, settings) for name in GATES if name not in settings.unguarded]


def _gate(name: str, scores: Scores, settings: CompareSettings) -> Gate:
    figure, sampled = scores.figures[name], value_of_ratio(name, scores, settings)
    lower, upper = interval(sampled, figure, settings)
    if figure.unit == "MOS":
        lower = max(LEAST_MOS, lower)
    agree = unseen_in(sampled, figure.unit, settings) > 0
    return Gate(
        figure, getattr(settings.gates, GATES[name]), sampled.estimate, lower, upper, len(sampled.speakers),
        len(np.unique(sampled.speakers)), int(clusters_of(sampled.speakers).max()) + 1, sampled.precision,
        sampled.units if agree else 0.0,
    )  # fmt: skip


def sentence(gate: Gate, settings: CompareSettings) -> str:
    """Estimate, bounds, sample, rule."""
    unit, relation = gate.figure.unit, "at least" if gate.sign > 0 else "at most"
    value, lower, upper, limit = (plain(x, unit) for x in (gate.value, gate.lower, gate.upper, gate.limit))
    return (
        f"{gate.figure.name} is {value} ({100 * settings.confidence:.3g} % one-sided bounds {lower} and {upper}, n = "
        f"{sample(gate.n, gate.speakers)}), gate {relation} {limit}: {_rule(gate, settings)}"
    )


def _rule(gate: Gate, settings: CompareSettings) -> str:
    return {
        "few": f"too few to judge, at least {sample(settings.min_turns, settings.min_speakers)} are needed",
        "passed": "passed, also by the unfavourable bound",
        "failed": "failed, also by the favourable bound",
        "open": "open, it lies between the bounds",
    }[gate.standing(settings)]


def missing(gate: Gate, settings: CompareSettings) -> str:
    """How many more turns would settle a gate that is neither passed nor failed."""
    if gate.standing(settings) == "few":
        return too_few(gate.figure.name, gate.n, gate.clusters, settings)
    what, times = f"to show that {gate.figure.name} passes its gate", _times_more(gate, settings)
    if not math.isfinite(times):
        return f"{what}, more turns will not do: the estimate itself does not say so"
    turns, clusters = (max(1, math.ceil(count * times) - count) for count in (gate.n, gate.clusters))
    by = f" by {clusters:,} more speakers" if gate.clusters == gate.speakers > 1 else ""
    return f"{what}, about {turns:,} more turns{by} are needed if the estimate holds ({settings.power:.0%} power)"


def _times_more(gate: Gate, settings: CompareSettings) -> float:
    distance = gate.sign * (gate.value - gate.limit)
    if distance <= 0:
        return math.inf
    if gate.units:
        return max(1.0, power.units_to_exclude(distance, settings.confidence) / gate.units)
    return power.growth(gate.precision, distance, settings.confidence, settings.power)
