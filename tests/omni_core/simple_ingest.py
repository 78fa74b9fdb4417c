"""Ingest's plan and its comparison of records as they were first written: everything in dicts, and so easy to believe.

The tests hold what is done by digests and numbers (omni_core/planned_shards.py, between_records.py) against it.
"""

from collections.abc import Mapping, Sequence

from data_contracts.ingest import SEALED, SPLITS, IngestSettings
from omni_core.records import Record, text_key
from omni_core.utterances import UNKNOWN, Plan, PlannedShard, pieces_of, plan_of

SPLIT_NAMES = {"train": "the train split", "validation": "the validation split", "test": "the sealed test split"}


def plan_shards(
    records: Sequence[Record], accepted: set[int], settings: IngestSettings, speaker: str
) -> tuple[list[PlannedShard], list[tuple[str, ...]]]:
    """The shards, and each record's utterance ids."""
    places: dict[tuple[str, str, bool], dict[str, Plan | None]] = {}
    answers: dict[str, dict[str, Plan | None]] = {}
    ids = []
    for index, record in enumerate(records):
        plans = [plan_of(record, role, piece, settings, speaker) for role, piece in pieces_of(record)]
        for plan in plans:
            key = plan.utterance_id if plan.role == "answer" else f"{plan.utterance_id} {record.line}"
            row = places.setdefault((plan.role, record.source, plan.split == SEALED), {})
            row = answers.setdefault(plan.utterance_id, row) if plan.role == "answer" else row
            row[key] = row.get(key) or (plan if index in accepted else None)
        ids.append(tuple(plan.utterance_id for plan in plans))
    return list(_cut(places, list(dict.fromkeys(record.source for record in records)), settings.shard_rows)), ids


def _cut(places, sources, rows):
    for (role, source, sealed), row in sorted(places.items(), key=lambda item: (item[0][0], sources.index(item[0][1]))):
        plans, folder = list(row.values()), "sealed" if sealed else "utterances"
        for number in range(0, len(plans), rows):
            if kept := tuple(plan for plan in plans[number : number + rows] if plan):
                yield PlannedShard(f"{folder}/{role}-{sources.index(source):02d}-{number // rows:05d}.parquet", kept)


def between(records: Sequence[Record], left: Sequence[int]) -> dict[int, tuple[str | None, ...]]:
    """Record -> (duplicate_of, text_also_in, speaker_also_in)."""
    first: dict[tuple, int] = {}
    for index in left:
        first.setdefault(_identity(records[index]), index)
    owners: dict[tuple[str, str], Record] = {}
    for index in sorted(first.values(), key=lambda index: (-SPLITS.index(records[index].split), index)):
        for trace in traces(records[index]):
            owners.setdefault(trace, records[index])
    return {index: _row(records, index, first, owners) for index in left}


def _row(records: Sequence[Record], index: int, first: Mapping, owners: Mapping) -> tuple[str | None, ...]:
    record, original = records[index], first[_identity(records[index])]
    owner_of = {kind: owners[kind, value] for kind, value in traces(record) if (kind, value) in owners}
    leaks = {kind: owner for kind, owner in owner_of.items() if owner.split != record.split}
    texts = [f"{SPLIT_NAMES[one.split]}, as {one.source}/{one.id}" for kind, one in leaks.items() if kind != "voice"]
    same = f"{records[original].source}/{records[original].id}" if original != index else None
    voice = f"'{record.said.speaker}', a voice of {SPLIT_NAMES[leaks['voice'].split]}" if "voice" in leaks else None
    return same, texts[0] if texts else None, voice


def _identity(record: Record) -> tuple:
    return bool(record.answer), record.split, text_key(record.said.text), record.said.audio_sha256


def traces(record: Record) -> list[tuple[str, str]]:
    """What must not be in two splits."""
    kind = "question" if record.answer else "speech"
    found = [(f"{kind} text", text_key(record.said.text))]
    if record.said.audio_sha256:
        found.append((f"{kind} audio", record.said.audio_sha256))
        if record.answer and record.said.speaker not in ("", UNKNOWN):
            found.append(("voice", record.said.speaker))
    return found
