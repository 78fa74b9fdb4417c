"""Answers of live traffic enter one after the other, a bound of the gain that holds at every moment leaves: stop at will.

    each answer is worth -1..1 (or low..high)        lower bound
    + 0 0 + - 0 + + 0 + + ...                        ---------------------------- crosses 0 -> better, stop
                                                     looked at after every answer, error at most 1 - confidence for ever

A test of fixed size that is looked at again and again errs ever more often (benchmarks/comparison.md). Here a gambler
bets against the claim "the mean is m"; under the claim the capital is a martingale, so by Ville's inequality it reaches
20 with a chance of at most 1/20, ever. The bound is the largest m that the capital has refuted. Waudby-Smith and Ramdas
2024, "Estimating means of bounded random variables by betting", theorem 3 (hedged capital, here one side at a time) with
its predictable plug-in bets. Their empirical-Bernstein sequence (theorem 2) needed 2 to 75 % more answers.

Traffic may drift: what is refuted is that the true gain stayed at or under the line at every moment. Answers of one
person are one unit: hand in their mean. Bets see only what came before, so the order must be that of arrival.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from data_contracts.errors import MetricError

TRUNCATION = 0.5
"""Largest share of the capital at stake; 1/2 needed fewer answers than 0.9 in all eight cases tried."""
GRID = 1000
"""Steps between low and high; a bound is rounded outwards to one of them."""
Standing = Literal["BETTER", "WORSE", "OPEN"]


def paired_worth(challenger: np.ndarray, champion: np.ndarray) -> np.ndarray:
    """Both models answered the same request, scores in 0..1: (answers,) of -1..1."""
    return np.asarray(challenger, np.float64) - np.asarray(champion, np.float64)


def split_worth(scores: np.ndarray, by_challenger: np.ndarray, share: float) -> np.ndarray:
    """Each request was answered by one model, the challenger with probability `share`: (answers,) with the gain as mean.

    Inverse-probability weights (Horvitz and Thompson 1952). Scores in 0..1 give -1/(1 - share) .. 1/share.
    """
    if not 0 < share < 1:
        raise MetricError(f"the challenger's share of the traffic is {share}; it must lie between 0 and 1")
    worth = np.asarray(scores, np.float64)
    return np.where(by_challenger, worth / share, -worth / (1 - share))


def passes(worth: np.ndarray, line: float, low: float, high: float, confidence: float) -> np.ndarray:
    """(answers,) in low..high, in order of arrival -> (answers,) bool: after it the mean is known to be over `line`.

    Once true it stays true. Raises MetricError for a worth that is no number or out of range.
    """
    unit = (_checked(worth, low, high) - low) / (high - low)
    return _refutes(unit, bets(unit, confidence), (line - low) / (high - low), confidence)


def lower_bounds(worth: np.ndarray, low: float, high: float, confidence: float) -> np.ndarray:
    """The largest line of GRID that the mean passes after each answer, (answers,); never falling, at first `low`."""
    unit = (_checked(worth, low, high) - low) / (high - low)
    stakes, bounds = bets(unit, confidence), np.zeros(len(unit))
    for mean in np.arange(1, GRID) / GRID:
        passed = _refutes(unit, stakes, mean, confidence)
        if not passed[-1]:
            break  # what does not refute a mean refutes no larger one
        bounds[passed] = mean
    return low + (high - low) * bounds


def upper_bounds(worth: np.ndarray, low: float, high: float, confidence: float) -> np.ndarray:
    """The mirror image: bounds over the mean, never rising, at first `high`."""
    return -lower_bounds(-np.asarray(worth, np.float64), -high, -low, confidence)


def _refutes(unit: np.ndarray, stakes: np.ndarray, mean: float, confidence: float) -> np.ndarray:
    """(answers,) bool: the capital of who bets on more than `mean` has once reached 1 / (1 - confidence)."""
    capital = np.cumsum(np.log1p(np.minimum(stakes, TRUNCATION / mean) * (unit - mean)))
    return np.maximum.accumulate(capital) >= -np.log1p(-confidence)


def bets(unit: np.ndarray, confidence: float) -> np.ndarray:
    """(answers,) stakes, each from the answers before: sqrt(2 log(1/alpha) / (variance t log(1 + t)))."""
    t = np.arange(1, len(unit) + 1)
    mean = (0.5 + np.cumsum(unit)) / (t + 1)
    variance = (0.25 + np.cumsum((unit - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    return np.sqrt(-2 * np.log1p(-confidence) / (before * t * np.log1p(t)))


def stands(worth: np.ndarray, low: float, high: float, confidence: float, margin: float = 0.0) -> Standing:
    """After these answers: BETTER when the gain is over 0, WORSE when it is under -margin, else OPEN; each at `confidence`."""
    if passes(worth, 0.0, low, high, confidence)[-1]:
        return "BETTER"
    return "WORSE" if passes(-np.asarray(worth, np.float64), margin, -high, -low, confidence)[-1] else "OPEN"


def _checked(worth: np.ndarray, low: float, high: float) -> np.ndarray:
    values = np.asarray(worth, np.float64)
    bad = np.flatnonzero(~((values >= low) & (values <= high)))
    if not len(values) or len(bad):
        what = f"answer {bad[0] + 1} is worth {values[bad[0]]}" if len(bad) else "there is no answer"
        raise MetricError(f"online scores must be numbers from {low:g} to {high:g}, but {what}; look at the scorer")
    return values
