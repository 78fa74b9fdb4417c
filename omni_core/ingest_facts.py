"""What became of every record enters, the counts, minutes and licences of the Manifest's card leave."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from data_contracts.ingest import SPLITS
from omni_core import ingest_tables as tables
from omni_core.ingest_tables import Outcome
from omni_core.teacher import LICENCE
from omni_core.utterances import UNKNOWN


@dataclass
class Kept:
    """Sums over the kept utterances."""

    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    roles: Counter[str] = field(default_factory=Counter)
    unknown_speakers: int = 0
    without_sound: int = 0
    synthesized_by: str = ""
    """The speaker of the first that was synthesized."""


def kept_of(outcome: Outcome) -> Kept:
    """A part of the table at a time."""
    kept = Kept()
    for table in tables.kept_tables(outcome):
        for (role, split), seconds in table.groupby(["role", "split"]).duration_s.sum().items():
            kept.seconds[role, split] += float(seconds)
        kept.roles.update(table.role.value_counts().to_dict())
        kept.unknown_speakers += int((table.speaker == UNKNOWN).sum())
        kept.without_sound += int(table.snr_db.isna().sum())
        if not kept.synthesized_by and bool(table.synthesized.any()):
            kept.synthesized_by = table.speaker[table.synthesized].iloc[0]
    return kept


def facts_of(outcome: Outcome, kept: Kept, voice: str) -> dict[str, Any]:
    """Counts and minutes for the card (see Manifest)."""
    minutes: dict[str, dict[str, float]] = defaultdict(dict)
    for (role, split), seconds in sorted(kept.seconds.items()):
        minutes[role][split] = round(seconds / 60, 2)
    sources: dict[str, dict[str, int]] = {}
    turns: Counter[str] = Counter()
    for index, record in enumerate(outcome.records):
        is_accepted = index not in outcome.failures
        counts = sources.setdefault(record.source, {"read": 0, "accepted": 0})
        counts["read"] += 1
        counts["accepted"] += is_accepted
        turns[record.split] += is_accepted and record.answer is not None
    return {
        "read": len(outcome.records),
        "accepted": len(outcome.failures.accepted),
        "rejected": len(outcome.failures),
        "rejected_by_rule": {rule: count for rule, count, _ in outcome.failures.by_rule()},
        "turns": {split: turns[split] for split in SPLITS},
        "utterances": {role: int(kept.roles[role]) for role in sorted(kept.roles)},
        "minutes": dict(minutes),
        "sources": sources,
        "voice": voice or None,
        "unknown_speakers": kept.unknown_speakers,
        "without_sound": kept.without_sound,
    }


def licences_of(outcome: Outcome, kept: Kept) -> dict[str, str]:
    """Source, or voice -> the licences of what was accepted of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for index in outcome.failures.accepted:
        record = outcome.records[int(index)]
        found[record.source].add(record.license)
    if kept.synthesized_by:
        found[f"voice {kept.synthesized_by.split()[0]}"].add(LICENCE)
    return {part: " and ".join(sorted(names)) for part, names in found.items()}
