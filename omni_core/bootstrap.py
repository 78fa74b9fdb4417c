"""Scores of the same turns enter, how far their figures may be off by chance leaves.

    speakers drawn with replacement, each with all its turns -> the figure of the drawn turns, 2000 times
    their spread, corrected for few and unequal speakers     -> estimate ± t(degrees of freedom) x standard error

Turns of one speaker resemble one another, so speakers are what a new test would draw anew (cluster bootstrap, Davison
and Hinkley 1997, section 3.8, strategy 1). Corpus figures stay ratios of sums inside each replicate (Bisani and Ney
2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"). Both models are read on the same
drawn turns, so what a hard turn costs both of them cancels out.

With few speakers the percentiles of the replicates are too narrow, the more so when some speak more than others. The
spread is therefore corrected, and read with Student's t, as Bell and McCaffrey (2002) and Imbens and Kolesar (2016,
section II) do for regressions. What was simulated, with bootstrap-t and the plain percentiles beside it:
benchmarks/comparison.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes seconds to import

AT_ONCE = 4_000_000
"""Largest number of (replicate, turn) cells held in memory."""
NOTHING = 1e-12
"""Standard errors below this are rounding; figures are of the order of 1."""


@dataclass(frozen=True)
class Precision:
    """How well an estimate is known, without a look at the estimate itself."""

    standard_error: float
    degrees_of_freedom: float

    def bounds(self, estimate: float, confidence: float) -> tuple[float, float]:
        """The two one-sided bounds, each at `confidence`."""
        reach = float(stdtrit(self.degrees_of_freedom, confidence)) * self.standard_error
        return float(estimate - reach), float(estimate + reach)

    def p_value(self, gain: float) -> float:
        """One-sided, of a true gain of at most 0; the standard error must not be 0."""
        return float(stdtr(self.degrees_of_freedom, -gain / self.standard_error))


def clusters_of(speakers: np.ndarray) -> np.ndarray:
    """Speaker of each turn -> number of its cluster; with a single speaker each turn is its own."""
    _, owner = np.unique(speakers, return_inverse=True)
    return owner if owner.max() > 0 else np.arange(len(speakers))


def draw(clusters: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """How often each replicate holds each cluster, (replicates, clusters); rows sum to the number of clusters."""
    count = int(clusters.max()) + 1
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), replicates)


def ratios(drawn: np.ndarray, clusters: np.ndarray, above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Sum above over sum below of the drawn turns, (replicates,); NaN where nothing below the line was drawn."""
    count = drawn.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (drawn @ np.bincount(clusters, above, count)) / (drawn @ np.bincount(clusters, below, count))
    return np.where(np.isfinite(found), found, np.nan)


def percentiles(drawn: np.ndarray, clusters: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """The smallest value that a share `level` of the drawn turns does not pass, (replicates,)."""
    order = np.argsort(values, kind="stable")
    owner, ordered = clusters[order], values[order]
    found = []
    for start in range(0, len(drawn), step := max(1, AT_ONCE // len(values))):
        below = np.cumsum(drawn[start : start + step, owner], axis=1)
        found.append(ordered[np.argmax(below >= level * below[:, -1:], axis=1)])
    return np.concatenate(found)


def precision(replicates: np.ndarray, clusters: np.ndarray, weights: np.ndarray, influence: np.ndarray) -> Precision:
    """Spread of the replicates, corrected for few and unequal clusters.

    `weights` (turns,) is what each turn weighs in the figure, `influence` (turns,) by how much it moves the estimate, up
    to a factor. Clusters that agree by luck are taken for independent turns; where turns agree as well, it is 0.
    """
    factor, freedom = small_sample(clusters, weights, influence)
    for error in (factor * float(np.nanstd(replicates)), math.sqrt(float(np.sum(influence**2)))):
        if error > NOTHING:
            return Precision(error, freedom)
    return Precision(0.0, freedom)


def small_sample(clusters: np.ndarray, weights: np.ndarray, influence: np.ndarray) -> tuple[float, float]:
    """Factor on the bootstrap's standard error, and degrees of freedom of the t that it is read with.

    With cluster totals u (independent, variance v) and shares w the spread of the replicates is that of
    r = u - w sum(u), a quadratic form in u: its mean against sum(v) is the factor, its mean and variance are matched by a
    chi-square (Satterthwaite). v comes from two components of variance, between and within clusters, by moments.
    Equal clusters give sqrt(G / (G - 1)) and G - 1.
    """
    share = weights / weights.sum()
    w, s = np.bincount(clusters, share), np.bincount(clusters, share**2)
    v = _variances(clusters, w, s, influence)
    together, squares = v.sum(), np.sum(w**2)
    trace = np.sum(v * (1 - 2 * w + squares))
    first, second = np.sum(w * v), np.sum(w**2 * v)
    pairs = (squares * together) ** 2 + 2 * together * second - 4 * squares * together * first + 2 * first**2
    trace_of_square = pairs + np.sum(v**2 * (1 + 2 * squares - 4 * w))
    return math.sqrt(together / trace), float(trace**2 / trace_of_square)


def _variances(clusters: np.ndarray, w: np.ndarray, s: np.ndarray, influence: np.ndarray) -> np.ndarray:
    """Variance of each cluster's total up to a factor: between x w^2 + within x s."""
    alone, w2, s2, count = np.sum(influence**2), np.sum(w**2), np.sum(s), len(w)
    clustered = np.sum(np.bincount(clusters, influence) ** 2) * count / (count - 1)
    if alone == 0 or w2 - s2 < 1e-12:
        return s
    between = np.clip((clustered - alone) / (w2 - s2), 0, alone / s2)
    return between * w**2 + (alone / s2 - between) * s


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """p values adjusted for the number of tests by Holm's step-down (Holm 1979): smallest times m, next times m-1, ..."""
    adjusted, highest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted
