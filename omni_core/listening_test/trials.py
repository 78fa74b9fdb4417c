"""A test's items and what earlier raters were given enter, one rater's trials leave: their order, sides and checks.

pairs      those that fewest raters have heard so far, ties by chance
sides      half of a rater's trials have a first, and each pair is turned as often as not over all raters: who
           always picks the first clip adds exactly nothing
X of abx   a fair coin a trial, so that guessing is right with probability 1/2 whatever the rater does
checks     one in each equal part of the session, never first
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.listening_test import Design, Side


@dataclass(frozen=True)
class Trial:
    """One page: which clip is played as first, and in abx which one is X."""

    item: str
    first: Side
    x: Side | None
    is_check: bool

    @property
    def second(self) -> Side:
        """The other one."""
        return "b" if self.first == "a" else "a"

    @property
    def right(self) -> Side | None:
        """The answer of one who hears: X, or the clean clip (a) of a check; None for a preference."""
        return self.x if self.x else "a" if self.is_check else None


def plan(
    items: Sequence[str],
    checks: Sequence[str],
    design: Design,
    pairs_per_rater: int,
    earlier: Sequence[Sequence[Trial]],
    rng: np.random.Generator,
) -> list[Trial]:
    """The trials of one more rater; `earlier` are the plans of those before."""
    given = [trial for trials in earlier for trial in trials]
    chosen = _least_heard(items, Counter(trial.item for trial in given), pairs_per_rater, rng)
    leaning = Counter({item: 0 for item in chosen})
    for trial in given:
        leaning[trial.item] += 1 if trial.first == "a" else -1
    firsts = _sides([leaning[item] for item in chosen], rng)
    trials = [Trial(item, first, _coin(design, rng), False) for item, first in zip(chosen, firsts, strict=True)]
    hidden = zip(checks, _sides([0] * len(checks), rng), strict=True)
    return _with_checks(trials, [Trial(item, first, _coin(design, rng), True) for item, first in hidden], rng)


def _least_heard(items: Sequence[str], heard: Counter[str], count: int, rng: np.random.Generator) -> list[str]:
    shuffled = [items[index] for index in rng.permutation(len(items))]
    chosen = sorted(shuffled, key=lambda item: heard[item])[:count]  # stable: ties stay shuffled
    return [chosen[index] for index in rng.permutation(len(chosen))]


def _sides(leaning: Sequence[int], rng: np.random.Generator) -> list[Side]:
    """First sides, half of them a: for those trials whose pair had a first least often (`leaning` = times a - times b)."""
    by_need = sorted(rng.permutation(len(leaning)), key=lambda index: leaning[index])
    half = (len(leaning) + int(rng.integers(2))) // 2
    needy = set(by_need[:half])
    return ["a" if index in needy else "b" for index in range(len(leaning))]


def _coin(design: Design, rng: np.random.Generator) -> Side | None:
    return None if design == "ab" else "a" if rng.integers(2) else "b"


def _with_checks(trials: list[Trial], checks: list[Trial], rng: np.random.Generator) -> list[Trial]:
    """Check number i follows a trial of the i-th part of the session, drawn by chance."""
    edges = np.linspace(0, len(trials), len(checks) + 1).astype(int)
    session = list(trials)
    for number in reversed(range(len(checks))):
        low, high = edges[number] + 1, max(edges[number] + 1, edges[number + 1])
        session.insert(int(rng.integers(low, high + 1)), checks[number])
    return session
