"""Scores of the same turns enter, how far their figures may be off by chance leaves.

    speakers drawn with replacement -> turns of each drawn with replacement -> the figure of the drawn turns, 2000 times

Two-stage cluster bootstrap (Davison and Hinkley 1997, section 3.8, strategy 2): turns of one speaker resemble one
another, so speakers are what a new test would draw anew. Corpus figures stay ratios of sums inside each replicate
(Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"). Both models are
read on the same drawn turns, so what a hard turn costs both of them cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MAX_DRAWS = 2_000_000
"""Turn indices held at once: 16 MB."""


def draw(speakers: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Speaker of each turn (turns,) -> blocks (some replicates, turns) of how often each turn was drawn.

    A replicate has as many speakers as the data, and each drawn speaker as many turns as it has; all in all about as
    many turns, more or fewer when speakers are uneven.
    """
    generator = np.random.default_rng(seed)
    _, owner, sizes = np.unique(speakers, return_inverse=True, return_counts=True)
    order, starts = np.argsort(owner, kind="stable"), np.cumsum(sizes) - sizes
    count, most, turns = len(sizes), int(sizes.max()), len(speakers)
    block = max(1, MAX_DRAWS // (count * most))
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        drawn = generator.integers(0, count, (rows, count))
        within = (generator.random((rows, count, most)) * sizes[drawn][..., None]).astype(np.int64)
        turn = order[starts[drawn][..., None] + within]
        flat = (turn + turns * np.arange(rows)[:, None, None])[np.arange(most) < sizes[drawn][..., None]]
        yield np.bincount(flat, minlength=rows * turns).reshape(rows, turns)


def replicate(sums: dict[str, tuple[np.ndarray, np.ndarray]], speakers: np.ndarray, replicates: int,
              seed: int) -> dict[str, np.ndarray]:
    """Name -> what each turn adds above and below the line, (turns,) each -> name -> (replicates,) of above / below.

    A replicate that drew no scored turn is NaN.
    """
    above = np.stack([pair[0] for pair in sums.values()], 1)
    below = np.stack([pair[1] for pair in sums.values()], 1)
    blocks = []
    for counts in draw(speakers, replicates, seed):
        with np.errstate(invalid="ignore", divide="ignore"):
            blocks.append((counts @ above) / (counts @ below))
    values = np.concatenate(blocks)
    values[~np.isfinite(values)] = np.nan
    return {name: values[:, column] for column, name in enumerate(sums)}


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """p values adjusted for the number of tests by Holm's step-down (Holm 1979): smallest times m, next times m-1, ..."""
    adjusted, highest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return adjusted
