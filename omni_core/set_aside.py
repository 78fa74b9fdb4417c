"""Failures of rows enter as they are found; who is set aside and why leaves, with 8 bytes of memory a row and its sentence on disk.

A row that is set aside twice keeps the first reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omni_core.on_disk import OnDisk
from omni_core.validate import Failure

ACCEPTED = -1


class SetAside:
    """Row number -> Failure, for those of `rows` rows that failed."""

    def __init__(self, rows: int, folder: Path | None = None):
        self._at = np.full(rows, ACCEPTED, np.int32)  # where its sentence lies
        self._stage = np.zeros(rows, np.int16)
        self._rule = np.zeros(rows, np.int16)
        self._rules: dict[str, int] = {}
        self._failures: OnDisk[Failure] = OnDisk(folder)

    def add(self, row: int, failure: Failure, stage: int) -> None:
        """Set a row aside. `stage` orders what is counted: a lower one is named first among equally common rules."""
        if self._at[row] == ACCEPTED:
            self._at[row] = len(self._failures)
            self._stage[row] = stage
            self._rule[row] = self._rules.setdefault(failure.rule, len(self._rules))
            self._failures.append(failure)

    def move(self, row: int, stage: int) -> None:
        """Another stage for a row that is set aside."""
        self._stage[row] = stage

    @property
    def mask(self) -> np.ndarray:
        """(rows,) True where a row is set aside."""
        return self._at != ACCEPTED

    @property
    def accepted(self) -> np.ndarray:
        """Numbers of the rows that are not, in order."""
        return np.flatnonzero(self._at == ACCEPTED)

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, row: int) -> bool:
        return bool(self._at[row] != ACCEPTED)

    def __getitem__(self, row: int) -> Failure:
        """Raises KeyError for a row that was accepted."""
        if self._at[row] == ACCEPTED:
            raise KeyError(row)
        return self._failures[int(self._at[row])]

    def __iter__(self) -> Iterator[int]:
        """Row numbers in order."""
        return (int(row) for row in np.flatnonzero(self.mask))

    def by_rule(self) -> list[tuple[str, int, Failure]]:
        """(rule, rows, the first of its failures), the most common first; then that of the lowest stage, then row."""
        found = []
        for rule, code in self._rules.items():
            (rows,) = np.nonzero(self.mask & (self._rule == code))
            first = rows[np.lexsort((rows, self._stage[rows]))[0]]
            found.append((-len(rows), int(self._stage[first]), int(first), rule))
        return [(rule, -count, self[first]) for count, _, first, rule in sorted(found)]
