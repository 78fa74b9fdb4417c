"""A standard error enters, what the data can show at all leaves: computed without a look at the gain itself.

    true gain 0, margin m        power = P(lower bound > -m) = P(t' > t),  t' noncentral with m / standard error
    how much more data           the standard error falls with the root of the number of speakers (with their turns)

The power of a one-sided t test (Cohen 1988, section 2.5; for non-inferiority Julious 2010, section 6). Planned power,
not that of the observed gain, which says no more than the p value does (Hoenig and Heisey 2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from omni_core.bootstrap import Precision

MANY = 1e4
"""Degrees of freedom from which t is normal."""
MOST = 1e9
"""Growth that nobody will collect."""
CLOSE = 1e-5
"""Relative error of a root."""


def power(precision: Precision, distance: float, confidence: float) -> float:
    """Chance that the bound clears a line that the truth is `distance` away from, at least 0 and in the figure's unit."""
    away, freedom = distance / precision.standard_error, precision.degrees_of_freedom
    if freedom > MANY:
        return float(ndtr(away - ndtri(confidence)))
    return float(1 - nctdtr(freedom, away, stdtrit(freedom, confidence)))


def detectable(precision: Precision, confidence: float, wanted: float) -> float:
    """Smallest true gain that is shown with the power `wanted`, which is over 1 - confidence."""
    normal = precision.standard_error * float(ndtri(confidence) + ndtri(wanted))
    return _first(
        lambda gain: power(precision, gain, confidence) >= wanted, max(normal, precision.standard_error / MOST)
    )


def growth(precision: Precision, distance: float, confidence: float, wanted: float) -> float:
    """How many times as much data clears `distance` with the power `wanted`, at least 1; inf when no amount does."""
    if distance <= 0:
        return math.inf
    normal = (precision.standard_error * max(0.0, float(ndtri(confidence) + ndtri(wanted))) / distance) ** 2
    if normal > MOST:
        return math.inf
    return _first(lambda times: power(grown(precision, times), distance, confidence) >= wanted, max(1.0, normal))


def _first(reached: Callable[[float], bool], start: float) -> float:
    """The smallest value from `start` on (that of the normal, so a little too small) that is enough."""
    low = high = start
    while not reached(high):
        low, high = high, 2 * high
    while high > low * (1 + CLOSE):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def grown(precision: Precision, times: float) -> Precision:
    """The precision of `times` as many speakers, each with as many turns."""
    return Precision(precision.standard_error / math.sqrt(times), precision.degrees_of_freedom * times)


def unseen(units: float, confidence: float) -> float:
    """Largest rate of an event that did not happen in `units` independent trials: the rule of three, exactly.

    1 - (1 - confidence)^(1/units); Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?".
    """
    return -math.expm1(math.log1p(-confidence) / units)


def units_to_exclude(rate: float, confidence: float) -> float:
    """The inverse of `unseen`: trials without the event that exclude a rate; inf for 0."""
    if rate <= 0:
        return math.inf
    return math.log1p(-confidence) / math.log1p(-rate) if rate < 1 else 1.0
