"""A registry's history and its aliases enter; who is champion, who was before, and what does not fit leave.

    history   1 promote 1   2 promote 2   3 promote 3   4 rollback 2       champions() = [1, 2]
    aliases   champion -> 2   previous -> 1                                trouble()   = None

A line of the history is the promotion; the aliases follow it. A writer that was killed between the two leaves a line
that is not settled, and whoever comes next settles it. A settled line that the aliases contradict was a hand's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from data_contracts.promote import HistoryEntry

CLOCK_TOLERANCE = timedelta(minutes=1)
"""Clocks of two machines in one network differ by less."""


@dataclass(frozen=True)
class Standing:
    """What the registry says about one registered model."""

    name: str
    alias: str
    history: tuple[HistoryEntry, ...]
    settled: frozenset[int]
    """Numbers of the lines whose aliases were moved."""
    aliases: dict[str, str]
    """Alias -> version."""
    versions: frozenset[str]
    """Versions that exist."""

    @property
    def last(self) -> HistoryEntry | None:
        """The line that holds."""
        return self.history[-1] if self.history else None

    @property
    def champion(self) -> str:
        """The version that the history makes champion, or empty."""
        return self.last.version if self.last else ""

    @property
    def is_settled(self) -> bool:
        """False when a writer was killed, or is at work, between the last line and its aliases."""
        return self.last is None or self.last.number in self.settled


def champions(history: Sequence[HistoryEntry]) -> list[str]:
    """Versions in the order in which they became champion, the current one last; what was rolled back is left out."""
    stack: list[str] = []
    for entry in history:
        if entry.action == "rollback" and entry.version in stack:
            stack = stack[: stack.index(entry.version) + 1]
        else:
            stack = [version for version in stack if version != entry.version and entry.version] + [entry.version]
    return [version for version in stack if version]


def previous(standing: Standing) -> str:
    """The latest champion before the current one that still exists, or empty."""
    before = champions(standing.history)[:-1] if standing.champion else []
    return next((version for version in reversed(before) if version in standing.versions), "")


def trouble(standing: Standing) -> str | None:
    """One sentence and its mend when history and aliases do not belong together; None when all is well."""
    name, alias, last = standing.name, standing.alias, standing.last
    if sentence := beyond_rollback(standing):
        return sentence
    pointed = standing.aliases.get(alias, "")
    if last is None:
        return _by_hand(name, alias, pointed) if pointed else None
    if pointed == last.version or (not standing.is_settled and pointed in ("", last.was)):
        return None
    if not pointed:
        return _vanished(standing)
    back = (
        f"`omni rollback --to {last.version}` puts it back" if last.version else f"delete the alias '{alias}' in MLflow"
    )
    return (
        f"{name} has two champions: its history says version {last.version or 'none'} (line {last.number}), alias "
        f"'{alias}' points to version {pointed}, which no promotion did; {back}"
    )


def beyond_rollback(standing: Standing) -> str | None:
    """Trouble that a rollback cannot mend: a line is gone, or two aliases differ in case only."""
    name, alias = standing.name, standing.alias
    if [entry.number for entry in standing.history] != list(range(1, len(standing.history) + 1)):
        return f"the history of {name} has a gap: a line was removed from MLflow's database; put its backup back"
    twin = next((other for other in standing.aliases if other != alias and other.lower() == alias.lower()), None)
    if twin:
        return (
            f"{name} has two champions: alias '{alias}' on version {standing.aliases.get(alias, 'none')} and alias "
            f"'{twin}' on version {standing.aliases[twin]}; delete the alias '{twin}' in MLflow"
        )
    return None


def _by_hand(name: str, alias: str, pointed: str) -> str:
    return (
        f"alias '{alias}' of {name} points to version {pointed}, but its history is empty: the alias was set by hand; "
        f"delete the alias in MLflow, then promote a version that was proven (`omni promote {pointed}`)"
    )


def _vanished(standing: Standing) -> str:
    gone = standing.champion
    if gone in standing.versions:
        return (
            f"alias '{standing.alias}' of {standing.name} was deleted by hand; `omni rollback --to {gone}` puts it back"
        )
    before = previous(standing)
    mend = (
        f"goes back to version {before}" if before else "notes that there is no champion, and the next run starts anew"
    )
    return f"version {gone} of {standing.name}, the champion, was deleted by hand; `omni rollback` {mend}"


def clock_trouble(history: Sequence[HistoryEntry], made: datetime, now: datetime) -> str | None:
    """A sentence when this machine's clock lies before the history's last line or before the version was `made`."""
    if history and now < history[-1].at - CLOCK_TOLERANCE:
        last = history[-1]
        return (
            f"this machine's clock says {_minute(now)}, before line {last.number} of the history ({_minute(last.at)}, by "
            f"{last.by}); set the clock, or, if it was wrong then, note it with `omni rollback --to {last.version}`"
        )
    if now < made - CLOCK_TOLERANCE:
        return f"this machine's clock says {_minute(now)}, before the version was registered ({_minute(made)}); set the clock"
    return None


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
