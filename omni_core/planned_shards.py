"""Records enter, the shards of their utterances leave: places of all are known by number, plans are made a shard at a time.

    need      a role of a record: 0 question, 1 answer of record 0; 2 question, 3 answer of record 1; ...
    place     where an utterance lies in its row of places (role, source, sealed or not); equal answers share one
    row       the number of a planned utterance, counted over all shards

The test split has shards of its own, so that a stage that is handed the others cannot come upon it. Places are counted over
all records, set aside or not: a record that is set aside later empties its place and moves no other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.ingest import SEALED, SEALED_FOLDER, IngestSettings
from omni_core.digests import digests, joined
from omni_core.records import Record
from omni_core.utterances import Plan, PlannedShard, pieces_of, plan_of, utterance_id_of

NOWHERE = -1
ROLES_A_RECORD = 2


@dataclass(frozen=True)
class PlannedShards:
    """Shards by role and source in metadata order; the plans of one are made when it is asked for."""

    records: Sequence[Record]
    settings: IngestSettings
    speaker: str
    names: list[str]
    needs: list[np.ndarray]
    """Of each shard, (plans,): the need that its row is made for."""
    row_of: np.ndarray
    """(records, 2) int32: rows of a record's utterances, NOWHERE for what is not there or not planned."""

    @property
    def sizes(self) -> list[int]:
        """Plans a shard."""
        return [len(needs) for needs in self.needs]

    def __iter__(self) -> Iterator[PlannedShard]:
        return map(self.shard, range(len(self.names)))

    def shard(self, number: int) -> PlannedShard:
        """With its plans."""
        return PlannedShard(self.names[number], tuple(self._plan(int(need)) for need in self.needs[number]))

    def _plan(self, need: int) -> Plan:
        index, slot = divmod(need, ROLES_A_RECORD)
        record = self.records[index]
        role, piece = pieces_of(record)[slot]
        return plan_of(record, role, piece, self.settings, self.speaker)


def plan_shards(
    records: Sequence[Record], accepted: np.ndarray, settings: IngestSettings, speaker: str
) -> PlannedShards:
    """Only what an accepted record needs is planned; `accepted` is (records,) bool, `speaker` the teacher's name."""
    needs, group, groups = _needs(records)
    place, first, chosen = _places(records, needs, accepted)
    rank = _ranks(groups, list(dict.fromkeys(source for _, source, _ in groups)))
    order = np.lexsort((first, rank[group[first]]))
    names, of_shards = _cut(order, group[first], chosen, groups, settings.shard_rows)
    row_of_place = np.full(len(order), NOWHERE, np.int32)
    row_of_place[np.concatenate([*of_shards, np.zeros(0, np.int64)])] = np.arange(sum(map(len, of_shards)))
    row_of = np.full(ROLES_A_RECORD * len(records), NOWHERE, np.int32)
    row_of[needs] = row_of_place[place]
    of_needs = [needs[chosen[places]] for places in of_shards]
    return PlannedShards(records, settings, speaker, names, of_needs, row_of.reshape(-1, ROLES_A_RECORD))


Group = tuple[str, str, bool]
"""Role, source, and whether it is sealed: what shares a row of places."""


def _needs(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray, list[Group]]:
    """(needs,) int32 numbers, (needs,) int16 groups, and the groups in the order in which they were met."""
    numbers, group, groups = array("i"), array("h"), dict[Group, int]()
    for index, record in enumerate(records):
        for slot, (role, _) in enumerate(pieces_of(record)):
            numbers.append(ROLES_A_RECORD * index + slot)
            group.append(groups.setdefault((role, record.source, record.split == SEALED), len(groups)))
    return np.array(numbers, np.int32), np.array(group, np.int16), list(groups)


def _places(
    records: Sequence[Record], needs: np.ndarray, accepted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(needs,) the place of each need; (places,) the first need of each and the first whose record is accepted. Both are
    positions in `needs`."""
    _, first, place = np.unique(digests(_keys(records)), return_index=True, return_inverse=True)
    chosen = np.full(len(first), NOWHERE, np.int32)
    good = np.flatnonzero(accepted[needs // ROLES_A_RECORD]).astype(np.int32)
    chosen[place[good][::-1]] = good[::-1]  # of several, the value that is written last stays: the first
    return place, first, chosen


def _keys(records: Sequence[Record]) -> Iterator[str]:
    """Of each need: equal keys share a place. A second record of one id is set aside, its place is kept."""
    for record in records:
        for role, piece in pieces_of(record):
            utterance_id = utterance_id_of(record, role, piece)
            is_sealed = str(record.split == SEALED)
            yield utterance_id if role == "answer" else joined(utterance_id, str(record.line), is_sealed)


def _ranks(groups: list[Group], sources: list[str]) -> np.ndarray:
    """(groups,) the place of each group among the shards: by role, then source."""
    order = sorted(range(len(groups)), key=lambda number: (groups[number][0], sources.index(groups[number][1])))
    ranks = np.zeros(len(groups), np.int16)
    ranks[order] = np.arange(len(groups))
    return ranks


def _cut(
    order: np.ndarray, group_of: np.ndarray, chosen: np.ndarray, groups: list[Group], rows: int
) -> tuple[list[str], list[np.ndarray]]:
    """Names of the shards and (plans,) places of each; `order` is (places,) in the order of shards."""
    names, found = [], []
    sources = list(dict.fromkeys(source for _, source, _ in groups))
    starts = np.flatnonzero(np.diff(group_of[order], prepend=NOWHERE))
    for row in np.split(order, starts[1:]) if len(order) else []:
        role, source, sealed = groups[group_of[row[0]]]
        folder = SEALED_FOLDER if sealed else "utterances"
        for start in range(0, len(row), rows):
            places = row[start : start + rows]
            if len(kept := places[chosen[places] != NOWHERE]):
                names.append(f"{folder}/{role}-{sources.index(source):02d}-{start // rows:05d}.parquet")
                found.append(kept)
    return names, found
