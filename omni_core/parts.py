"""Values of every row enter, lists of ROWS of them leave: no table of many rows is whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
ROWS = 4_096
"""Rows of a table that a suite judges, and of a row group that is written: about 10 MB of texts with their figures."""


def in_parts(values: Iterable[T]) -> Iterator[list[T]]:
    """Lists of ROWS, the last one shorter; none for no values."""
    waiting = iter(values)
    while part := list(islice(waiting, ROWS)):
        yield part
