"""How long work tells where it is: (done, total, what) enters a callable; bars and logs are the caller's affair."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called at every step of long work; cheap to call."""

    def __call__(self, done: int, total: int, what: str) -> None: ...


def silent(done: int, total: int, what: str) -> None:
    """The default: says nothing."""
