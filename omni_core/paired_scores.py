"""Scores of two models on the same turns enter; each figure's gain, its bounds, and what the data can show leave.

gain = challenger - champion, or the other way round where lower is better: positive is always better
a percentile's gain is a share of the champion's value: -0.05 is 5 % slower

Where the parts that decide a figure are the same in both models and every turn came out the same, the gain is 0 by
construction: there is no sample to be unlucky with, so neither bounds nor power are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from data_contracts.compare import LISTENERS, CompareSettings
from data_contracts.errors import MetricError
from omni_core import power
from omni_core.bootstrap import Precision, clusters_of, holm
from omni_core.gains import Sampled, gain_of_percentile, gain_of_ratio, percentile, value_of_ratio
from omni_core.listening_test.verdict import ListenerPreference
from omni_core.metrics import Figure
from omni_core.scores import PERCENTILES, Scores, check_turns

MARGINS = {
    "own_speech_wer": "wer_margin",
    "answer_accuracy": "accuracy_margin",
    "distill_mos": "mos_margin",
    "speaker_similarity": "speaker_similarity_margin",
    "cascade_retention": "retention_margin",
    "time_to_first_audio_p95_ms": "time_to_first_audio_margin",
}
"""Figure -> its margin in CompareSettings: the guards, but those that CompareSettings.unguarded names."""


SameParts = Literal["equal", "unequal"]


@dataclass(frozen=True)
class Comparison:
    """One figure of two models. `gain` is positive when the challenger is better, whatever the figure's direction."""

    name: str
    unit: str
    better: str
    challenger: float
    champion: float
    gain: float
    lower: float
    """One-sided bound: the gain is at least this, at `confidence`."""
    upper: float
    standard_error: float
    """Of the gain, corrected for few and unequal speakers."""
    p_value: float
    """Of no gain; Holm-adjusted for a target."""
    margin: float | None
    """Loss that still counts as no worse; None for a figure that is no guard."""
    n: int
    speakers: int
    clusters: int
    """What was drawn: the speakers, or the turns of a single speaker."""
    degrees_of_freedom: float
    power: float | None
    """Chance that an equal model clears the margin on this many turns; None for a figure that is no guard."""
    times_more: float | None
    """How many times as many turns clear it with the planned power; None: no number does, or the figure is no guard."""
    detectable_gain: float
    """Smallest true gain that this many turns show with the planned power."""
    gain_unit: str
    """fraction (shown as points), share (of the champion's value), or the figure's own."""
    same_parts: SameParts | None = None
    """See same_parts."""

    @property
    def precision(self) -> Precision:
        """Of the gain."""
        return Precision(self.standard_error, self.degrees_of_freedom)


def compare_scores(challenger: Scores, champion: Scores, settings: CompareSettings) -> dict[str, Comparison]:
    """Every figure that both have, paired by turn; p values as they are, before `corrected`.

    Raises MetricError for a guard or target that one of them lacks.
    """
    theirs = {*champion.figures, *champion.samples}
    names = [name for name in (*challenger.figures, *challenger.samples) if name in theirs]
    _check_measured(challenger, champion, names, settings)
    check_turns(challenger, champion, [name for name in guards(settings) if name in names])
    return {name: _comparison(name, challenger, champion, settings) for name in names}


def corrected(
    found: Mapping[str, Comparison], heard: ListenerPreference | None, settings: CompareSettings
) -> tuple[dict[str, Comparison], ListenerPreference | None]:
    """The same with the p values of the targets adjusted by Holm; what people heard is of the family when it is a target.

    A family is fixed before the data: with nobody asked yet, that test is in it with a p value of 1.
    """
    p_values = {name: found[name].p_value for name in settings.targets if name != LISTENERS}
    if LISTENERS in settings.targets:
        p_values[LISTENERS] = heard.p_value if heard else 1.0
    adjusted = holm(p_values)
    figures = {name: replace(c, p_value=adjusted.get(name, c.p_value)) for name, c in found.items()}
    return figures, replace(heard, p_value=adjusted.get(LISTENERS, heard.p_value)) if heard else None


def guards(settings: CompareSettings) -> dict[str, float]:
    """Guarded figure -> its margin."""
    return {name: getattr(settings, margin) for name, margin in MARGINS.items() if name not in settings.unguarded}


def _check_measured(challenger: Scores, champion: Scores, names: list[str], settings: CompareSettings) -> None:
    for name in guards(settings):
        if name not in names and any(name in scores.figures for scores in (challenger, champion)):
            raise MetricError(
                f"{name}, which compare guards, was measured for one of challenger and champion only; "
                "evaluate the champion with this run's evaluate.metrics, or name the figure in compare.unguarded"
            )
    missing = [name for name in settings.targets if name not in (*names, LISTENERS)]
    if missing:
        raise MetricError(
            f"{', '.join(missing)} of compare.targets was not measured for both models; "
            "add its metric to evaluate.metrics, or take it out of compare.targets"
        )


def _comparison(name: str, challenger: Scores, champion: Scores, settings: CompareSettings) -> Comparison:
    if name in PERCENTILES:
        sampled, unit, gain_unit, better = (
            gain_of_percentile(name, challenger, champion, settings),
            "ms",
            "share",
            "lower",
        )
        new, old = (percentile(scores.samples[name].values, PERCENTILES[name]) for scores in (challenger, champion))
    else:
        sampled, figure = gain_of_ratio(name, challenger, champion, settings), challenger.figures[name]
        unit, gain_unit, better = figure.unit, figure.unit, figure.better
        new, old = challenger.value(name), champion.value(name)
    same = same_parts(name, challenger, champion)
    known, unseen = sampled.precision, 0.0 if same == "equal" else unseen_in(sampled, unit, settings)
    lower, upper = known.bounds(sampled.estimate, settings.confidence)
    margin = guards(settings).get(name)
    clusters = int(clusters_of(sampled.speakers).max()) + 1
    chance, times = (None, None) if margin is None else _planned(sampled, known, margin, unseen, settings)
    return Comparison(
        name=name, unit=unit, better=better, challenger=new, champion=old, gain=sampled.estimate, lower=lower - unseen,
        upper=upper + unseen, standard_error=known.standard_error, p_value=_p_value(sampled, known, clusters),
        margin=margin, n=len(sampled.speakers), speakers=len(np.unique(sampled.speakers)), clusters=clusters,
        degrees_of_freedom=known.degrees_of_freedom, power=chance, times_more=times, gain_unit=gain_unit, same_parts=same,
        detectable_gain=power.detectable(known, settings.confidence, settings.power) if known.standard_error else unseen,
    )  # fmt: skip


def same_parts(name: str, challenger: Scores, champion: Scores) -> SameParts | None:
    """None unless the parts that decide the figure are the same in both models, by the digests that both reports tell.

    equal: and so is every turn, what was written and what it scored; unequal: some turn is not, so what answers is not
    deterministic (threads that add up in another order), and nothing follows from its being the same.
    """
    figures = [scores.figures.get(name) for scores in (challenger, champion)]
    decided_by_text = all(figure is not None and figure.parts == "text" for figure in figures)
    if not decided_by_text or not challenger.parts or challenger.parts != champion.parts:
        return None
    columns = [(*scores.sums[name], scores.was_scored(name)) for scores in (challenger, champion)]
    alike = all(np.array_equal(new, old) for new, old in zip(*columns, strict=True))
    return "equal" if alike and challenger.written == champion.written else "unequal"


def unseen_in(sampled: Sampled, unit: str, settings: CompareSettings) -> float:
    """What may hide where all turns agree: the rule of three, for figures that count events."""
    return power.unseen(sampled.units, settings.confidence) if sampled.turns_agree and unit == "fraction" else 0.0


def _planned(
    sampled: Sampled, known: Precision, margin: float, unseen: float, settings: CompareSettings
) -> tuple[float, float | None]:
    """Power to clear the margin with a true gain of 0, and how many times as much data has the planned power."""
    if known.standard_error == 0:
        times = power.units_to_exclude(margin, settings.confidence) / sampled.units if unseen else 1.0
        chance = float(unseen <= margin)
    else:
        times = power.growth(known, margin, settings.confidence, settings.power)
        chance = power.power(known, margin, settings.confidence)
    return chance, max(1.0, times) if math.isfinite(times) else None


def _p_value(sampled: Sampled, known: Precision, clusters: int) -> float:
    """Where no spread is seen, the sign test: that many speakers agree by chance in 1 of 2^speakers cases."""
    if known.standard_error:
        return known.p_value(sampled.estimate)
    return 0.5**clusters if sampled.estimate > 0 else 1.0


def intervals(scores: Scores, settings: CompareSettings) -> dict[str, tuple[float, float]]:
    """Figure -> its two one-sided bounds at `confidence`, for the report's table.

    A figure that one turn alone was scored on has none and is left out.
    """
    sampled = {name: value_of_ratio(name, scores, settings) for name in scores.figures}
    return {
        name: interval(one, scores.figures[name], settings) for name, one in sampled.items() if len(one.speakers) > 1
    }


def interval(sampled: Sampled, figure: Figure, settings: CompareSettings) -> tuple[float, float]:
    """The two one-sided bounds of one model's figure, a fraction's in its range; the rule of three where all turns agree."""
    unseen = unseen_in(sampled, figure.unit, settings)
    lower, upper = sampled.precision.bounds(sampled.estimate, settings.confidence)
    lower, upper = lower - unseen, upper + unseen
    if figure.unit == "fraction":
        lower, upper = max(0.0, lower), upper if figure.denominator else min(1.0, upper)
    return lower, upper
