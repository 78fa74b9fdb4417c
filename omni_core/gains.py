"""Scores of one or two models enter, a figure drawn again and again leaves: what its estimate's precision is read from.

ratio       sum above / sum below, of the challenger minus of the champion (a corpus word error rate, a mean)
percentile  1 - challenger's / champion's
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_contracts.compare import CompareSettings
from omni_core.bootstrap import NOTHING, Precision, clusters_of, draw, percentiles, precision, ratios
from omni_core.metrics import Figure
from omni_core.scores import PERCENTILES, Scores


@dataclass(frozen=True)
class Sampled:
    """A gain, or the value of one model, over the turns that count in it."""

    estimate: float
    replicates: np.ndarray
    """(replicates,)"""
    speakers: np.ndarray
    """(turns,) of the turns that count."""
    weights: np.ndarray
    """(turns,) their shares in the figure."""
    influence: np.ndarray
    """(turns,) how far each moves the estimate, up to a factor."""
    units: float
    """What is below the line: words, or turns."""

    @property
    def precision(self) -> Precision:
        """Of the estimate."""
        return precision(self.replicates, clusters_of(self.speakers), self.weights, self.influence)

    @property
    def turns_agree(self) -> bool:
        """True where no two turns differ, so that chance cannot be seen."""
        return bool(np.abs(self.influence).max() < NOTHING)


def sign(figure: Figure) -> int:
    """1 where higher is better, else -1."""
    return 1 if figure.better == "higher" else -1


def gain_of_ratio(name: str, challenger: Scores, champion: Scores, settings: CompareSettings) -> Sampled:
    """Of the turns that both were scored on."""
    both = challenger.was_scored(name) & champion.was_scored(name)
    new, old = (_Ratio(*(part * both for part in scores.sums[name])) for scores in (challenger, champion))
    used = (new.below > 0) | (old.below > 0)
    new, old, speakers = new.of(used), old.of(used), challenger.speakers[used]
    clusters = clusters_of(speakers)
    drawn = draw(clusters, settings.replicates, settings.seed)
    better = sign(challenger.figures[name])
    return Sampled(
        better * (new.value - old.value), better * (new.drawn(drawn, clusters) - old.drawn(drawn, clusters)), speakers,
        (new.shares + old.shares) / 2, new.influence - old.influence, float(min(new.below.sum(), old.below.sum())),
    )  # fmt: skip


def value_of_ratio(name: str, scores: Scores, settings: CompareSettings) -> Sampled:
    """The figure of one model."""
    used = scores.sums[name][1] > 0
    ratio, speakers = _Ratio(*scores.sums[name]).of(used), scores.speakers[used]
    clusters = clusters_of(speakers)
    drawn = draw(clusters, settings.replicates, settings.seed)
    return Sampled(ratio.value, ratio.drawn(drawn, clusters), speakers, ratio.shares, ratio.influence,
                   float(ratio.below.sum()))  # fmt: skip


def gain_of_percentile(name: str, challenger: Scores, champion: Scores, settings: CompareSettings) -> Sampled:
    """Questions above the percentile move it, and all by the same: the influence of a quantile, up to a factor."""
    level, speakers = PERCENTILES[name], challenger.samples[name].speakers
    new, old = challenger.samples[name].values, champion.samples[name].values
    clusters = clusters_of(speakers)
    drawn = draw(clusters, settings.replicates, settings.seed)
    above_new, above_old = (x > percentile(x, level) for x in (new, old))
    return Sampled(
        1 - percentile(new, level) / percentile(old, level),
        1 - percentiles(drawn, clusters, new, level) / percentiles(drawn, clusters, old, level), speakers,
        np.full(len(new), 1 / len(new)), (above_old.astype(float) - above_new) / len(new), float(len(new)),
    )  # fmt: skip


def percentile(values: np.ndarray, level: float) -> float:
    """The smallest value that a share `level` of the turns does not pass."""
    return float(np.quantile(values, level, method="inverted_cdf"))


@dataclass(frozen=True)
class _Ratio:
    above: np.ndarray
    below: np.ndarray

    def of(self, used: np.ndarray) -> _Ratio:
        return _Ratio(self.above[used], self.below[used])

    @property
    def value(self) -> float:
        return float(self.above.sum() / self.below.sum())

    @property
    def shares(self) -> np.ndarray:
        return self.below / self.below.sum()

    @property
    def influence(self) -> np.ndarray:
        return (self.above - self.value * self.below) / self.below.sum()

    def drawn(self, drawn: np.ndarray, clusters: np.ndarray) -> np.ndarray:
        return ratios(drawn, clusters, self.above, self.below)
