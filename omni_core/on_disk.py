"""Values enter one by one, a sequence that lies on disk leaves: what is known of every row of a source, at 8 bytes of memory a value.

    append ----> unnamed temporary file: pickle pickle pickle ...      ends: 41 87 130 ...
    [1]    <---- the bytes from 41 to 87

The file has no name from the start, so it is gone with the process, killed or not, and nobody else can write the pickles
that are read here.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, overload

T = TypeVar("T")


class OnDisk(Sequence[T]):
    """An append-only sequence. Raises OSError where the disk is full (omni_core.shards.storing words it)."""

    def __init__(self, folder: Path | None = None):
        """In `folder`, which is made; in the system's folder for temporary files without one."""
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the sequence
        self._ends = array("Q", [0])
        self._flushed = True

    def append(self, value: T) -> None:
        """Add one at the end."""
        written = self._file.write(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        self._ends.append(self._ends[-1] + written)
        self._flushed = False

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        place = range(len(self))[index]
        if not self._flushed:
            self._file.flush()
            self._flushed = True
        start, end = self._ends[place], self._ends[place + 1]
        return pickle.loads(os.pread(self._file.fileno(), end - start, start))

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self)))
