"""Sessions enter, who counts and what they say leaves, with raters as the unit of chance.

    sessions -> tallies (a rater: trials, hits, checks)      hits: b was picked (ab), X was found (abx)
             -> left out: failed attention checks            each with its reason
             -> share of hits, one-sided bounds, exact p values

Answers of one rater resemble one another, so 12 raters of 20 answers are 12 observations, not 240. When every rater
gives one answer, all of this is the exact binomial test and the interval of Clopper and Pearson (1934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omni_core.listening_test.answers import Session


@dataclass(frozen=True)
class Tally:
    """One rater, counted. `hits` of `trials`; `failed` of `checks`."""

    rater: str
    trials: int
    hits: int
    checks: int
    failed: int
    left_out: str | None
    """Why this rater does not count; None for one who does."""


@dataclass(frozen=True)
class Preference:
    """Share of hits over all counted answers, and what chance allows."""

    share: float
    lower: float
    """One-sided bound: the share is at least this, at the test's confidence."""
    upper: float
    p_higher: float
    """Chance of as many hits or more while the truth is one half."""
    p_lower: float
    answers: int
    effective_answers: float
    """Independent answers that would tell as much."""
    raters: int


def tally(session: Session, max_failed: int) -> Tally:
    """Count one rater. Every unanswered trial is simply missing; a session without a passed check cannot count."""
    given = list(zip(session.plan, session.answers, strict=False))
    real = [(trial, answer) for trial, answer in given if not trial.is_check]
    checks = [answer.picked == trial.right for trial, answer in given if trial.is_check]
    hits = sum(answer.picked == (trial.right or "b") for trial, answer in real)
    failed = len(checks) - sum(checks)
    reason = None
    if failed > max_failed:
        reason = f"failed {failed} of {len(checks)} attention checks, at most {max_failed} may fail"
    elif not real:
        reason = "answered nothing"
    elif not checks and any(trial.is_check for trial in session.plan):
        reason = "stopped before the first attention check"
    return Tally(session.rater, len(real), hits, len(checks), failed, reason)


def preference(counted: Sequence[Tally], confidence: float, *, guessing_is_fair: bool) -> Preference:
    """The share of hits of the raters who count, at least one; `guessing_is_fair` for abx.

    ab: raters may all favour one side and differ in how much, so the p values are those of the exact sign-flip test
    over raters (Fisher 1935, section 21): under no preference each rater's surplus might as well have the other sign.
    abx: X is a coin that we toss, so without hearing any answer is right with 1/2, whoever gives it: exact binomial.
    """
    assert counted, "no rater counts"
    hits, trials = (np.array([getattr(rater, name) for rater in counted]) for name in ("hits", "trials"))
    lower, upper, effective = share_bounds(hits, trials, confidence)
    if guessing_is_fair:
        higher, lower_p = binomial_tail(hits.sum(), trials.sum()), binomial_tail((trials - hits).sum(), trials.sum())
    else:
        higher, lower_p = sign_flip_p(2 * hits - trials), sign_flip_p(trials - 2 * hits)
    return Preference(float(hits.sum() / trials.sum()), lower, upper, higher, lower_p, int(trials.sum()), effective, len(counted))  # fmt: skip


def binomial_tail(hits: int, trials: int) -> float:
    """P(at least `hits` of `trials` fair coins)."""
    return float(sum(math.comb(int(trials), k) for k in range(int(hits), int(trials) + 1)) / 2 ** int(trials))


def sign_flip_p(surplus: np.ndarray) -> float:
    """Chance that the sum of the raters' surpluses (integers: hits minus misses) is as large, each sign being a coin.

    Exact: the sum's distribution is built up rater by rater, p <- (p shifted up + p shifted down) / 2.
    """
    surplus = np.asarray(surplus, int)
    reach = int(np.abs(surplus).sum())
    chance = np.zeros(2 * reach + 1)  # of the sums -reach .. reach
    chance[reach] = 1.0
    for step in np.abs(surplus):
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2  # never wraps: reach is the furthest sum
    return float(min(1.0, chance[reach + int(surplus.sum()) :].sum()))


def share_bounds(hits: np.ndarray, trials: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """(hits, trials) a rater -> (lower, upper) one-sided bounds of the share, and the effective number of answers.

    Clopper and Pearson's bounds on as many answers as are left once the design effect of clustering is divided out
    (Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts",
    section 2). Unanimous raters show no variance to measure: then each of them is one answer.

    Simulated, raters beta-binomial, 3000 tests each: a bound misses in 2 to 6 % for true shares of 0.3 to 0.7, where a
    verdict looks. At 0.9 with raters who differ much the lower bound misses in up to 10 % (12 raters).
    """
    from scipy.special import betaincinv, stdtrit  # scipy.stats takes seconds to import

    raters, total = len(hits), float(trials.sum())
    share = float(hits.sum() / total)
    effective = float(raters)
    if 0 < share < 1 and raters > 1:
        between = raters / (raters - 1) * float(np.square(hits - share * trials).sum()) / total**2
        design_effect = between / (share * (1 - share) / (total - 1))
        tails = float(stdtrit(total - 1, confidence) / stdtrit(raters - 1, confidence))
        effective = min(total, total / design_effect * tails**2) if design_effect > 0 else total * tails**2
    found = share * effective
    lower = float(betaincinv(found, effective - found + 1, 1 - confidence)) if found > 0 else 0.0
    upper = float(betaincinv(found + 1, effective - found, confidence)) if found < effective else 1.0
    return lower, upper, effective
