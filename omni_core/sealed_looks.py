"""A look at the sealed test split enters, one line in a log leaves: how often a choice could have been fitted to the test.

    <home>/sealed_looks.jsonl   time, reader, model, manifest, sealed_set, turns, look      appended to, never rewritten

Every look at one sealed set spends some of its worth (Dwork et al. 2015, "The reusable holdout"); after many, collect a new one.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.errors import StorageError

LOG = "sealed_looks.jsonl"


def log_look(home: Path, *, reader: str, model: str, manifest: str, sealed_set: str, turns: int) -> int:
    """Append a look and return which look at this sealed set it is, from 1. Two processes at once do not lose a line.

    Raises StorageError when the log cannot be written: an unlogged look is not allowed.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with open(home / LOG, "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            number = 1 + sum(look["sealed_set"] == sealed_set for look in _parsed(before))
            if before and not before.endswith("\n"):
                file.write("\n")  # the line before was cut off by a power failure; it must not spoil this one
            file.write(json.dumps({
                "time": datetime.now(UTC).isoformat(timespec="seconds"), "reader": reader, "model": model,
                "manifest": manifest, "sealed_set": sealed_set, "turns": turns, "look": number,
            }) + "\n")  # fmt: skip
            return number
    except OSError as error:
        raise StorageError(
            f"the look at the sealed test split cannot be logged in {home / LOG} ({error.strerror}); free the disk or "
            "mend the permissions, nothing was evaluated"
        ) from error


def looks(home: Path) -> list[dict[str, Any]]:
    """All looks in order; none when nobody has looked."""
    return _parsed((home / LOG).read_text()) if (home / LOG).is_file() else []


def told(home: Path) -> list[str]:
    """A sentence a sealed set, the one that was looked at last below: how many looks, and by whom."""
    by_set: dict[str, list[dict[str, Any]]] = {}
    for look in looks(home):
        by_set.setdefault(look["sealed_set"], []).append(look)
    return [_sentence(name, seen) for name, seen in sorted(by_set.items(), key=lambda item: item[1][-1]["time"])]


def _sentence(name: str, seen: list[dict[str, Any]]) -> str:
    readers = ", ".join(f"{reader} {count}" for reader, count in Counter(look["reader"] for look in seen).items())
    return f"sealed set {name[:8]} ({seen[-1]['turns']} turns): {len(seen)} looks ({readers}), the last at {seen[-1]['time']}"


def _parsed(text: str) -> list[dict[str, Any]]:
    """Lines that hold a look; one cut off by a power failure is skipped."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
