"""Records and what became of them enter, tables leave: those that the suites judge, and those of the Manifest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.base import choices
from data_contracts.ingest import REJECTED, SPLITS, TURN, UTTERANCE, IngestSettings
from omni_core import components
from omni_core.languages import unwritten
from omni_core.records import Record, text_key
from omni_core.shards import work_file
from omni_core.utterances import FAULTS, UNKNOWN, PlannedShard, digest_of
from omni_core.validate import Failure

if TYPE_CHECKING:
    import pandas

SPLIT_NAMES = {"train": "the train split", "validation": "the validation split", "test": "the sealed test split"}
VOICE = "voice"
"""The trace of a recorded question's speaker; the others are of texts and recordings."""


@dataclass(frozen=True)
class Outcome:
    """What became of every record: `ids` are its utterances, `failures` tells by index why it was set aside."""

    records: Sequence[Record]
    ids: Sequence[tuple[str, ...]]
    failures: Mapping[int, Failure]
    utterances: pandas.DataFrame

    @cached_property
    def accepted(self) -> list[int]:
        """Indices of the accepted records, in order."""
        return [index for index in range(len(self.records)) if index not in self.failures]

    @cached_property
    def kept_ids(self) -> set[str]:
        """Utterances that an accepted record needs."""
        return {utterance_id for index in self.accepted for utterance_id in self.ids[index]}

    @cached_property
    def kept(self) -> pandas.DataFrame:
        """The kept utterances with their measures, without audio."""
        made = self.utterances.drop(columns=["fault", "fault_sentence"])
        return made[made.utterance_id.isin(self.kept_ids)]


def record_table(records: Sequence[Record], settings: IngestSettings) -> pandas.DataFrame:
    """The table of `expectations.record_suite`."""
    import pandas

    first_line: dict[tuple[str, str], int] = {}
    scripts = _scripts(settings.language)
    rows = []
    for record in records:
        first = first_line.setdefault((record.source, record.id), record.line)
        answer = record.answer.text if record.answer else None
        rows.append(
            {
                "source": record.source,
                "id": record.id,
                "line": record.line,
                "split": record.split,
                "language": record.language,
                "license": record.license,
                "said": record.said.text,
                "answer": answer,
                "said_characters": len(record.said.text),
                "answer_characters": len(answer or ""),
                "surplus_cells": record.surplus_cells,
                "flaw": record.failure.reason if record.failure else None,
                "flaw_rule": record.failure.rule if record.failure else None,
                "first_line_of_id": str(first) if first != record.line else None,
                "unwritten": unwritten(f"{record.said.text}{answer or ''}", scripts) or None,
                "unvoiced": None if settings.voice.teacher else _unvoiced(record),
            }
        )
    return pandas.DataFrame(rows)


def _scripts(language: str) -> tuple[str, ...]:
    """Of the language's pack; () for one that has none: then no character is wrong."""
    return components.load("languages", language).scripts if language in choices("languages") else ()


def _unvoiced(record: Record) -> str | None:
    names = ("question", "answer") if record.answer else ("speech",)
    pieces = (record.said, record.answer) if record.answer else (record.said,)
    return next((name for name, piece in zip(names, pieces, strict=True) if piece and piece.audio is None), None)


def utterance_table(shards: Sequence[PlannedShard], work: Path) -> pandas.DataFrame:
    """Every made utterance without its audio and codes: the table of `expectations.utterance_suite`."""
    schema = pa.schema([field for field in (*UTTERANCE, *FAULTS) if field.name != "audio"])
    tables = [pq.read_table(work_file(work, shard), columns=schema.names) for shard in shards]
    return (pa.concat_tables(tables) if tables else schema.empty_table()).to_pandas()


def between_table(records: Sequence[Record], failures: Mapping[int, Failure]) -> pandas.DataFrame:
    """The table of `expectations.between_rows_suite`: records not yet set aside, labelled by index.

    The first of equal records stays. What two splits share is kept by the one that measures: by test before validation,
    by validation before train.
    """
    import pandas

    left = [index for index in range(len(records)) if index not in failures]
    first: dict[tuple, int] = {}
    for index in left:
        first.setdefault(_identity(records[index]), index)
    owners: dict[tuple[str, str], Record] = {}
    for index in sorted(first.values(), key=lambda index: (-SPLITS.index(records[index].split), index)):
        for trace in _traces(records[index]):
            owners.setdefault(trace, records[index])
    rows = [_row_between(records, index, first, owners) for index in left]
    columns = ["duplicate_of", "text_also_in", "speaker_also_in"]
    return pandas.DataFrame(rows, index=left, columns=columns, dtype=object)


def _row_between(
    records: Sequence[Record], index: int, first: Mapping[tuple, int], owners: Mapping[tuple[str, str], Record]
) -> dict[str, str | None]:
    record, original = records[index], first[_identity(records[index])]
    owner_of = {kind: owners[kind, value] for kind, value in _traces(record)}
    leaks = {kind: owner for kind, owner in owner_of.items() if owner.split != record.split}
    texts = [f"{SPLIT_NAMES[owner.split]}, as {_name(owner)}" for kind, owner in leaks.items() if kind != VOICE]
    return {
        "duplicate_of": _name(records[original]) if original != index else None,
        "text_also_in": texts[0] if texts else None,
        "speaker_also_in": f"'{record.said.speaker}', a voice of {SPLIT_NAMES[leaks[VOICE].split]}"
        if VOICE in leaks
        else None,
    }


def _name(record: Record) -> str:
    return f"{record.source}/{record.id}"


def _identity(record: Record) -> tuple:
    return (bool(record.answer), record.split, text_key(record.said.text), record.said.audio_sha256)


def _traces(record: Record) -> list[tuple[str, str]]:
    """What must not be in two splits: the text, a recording, and the voice of a recorded question.

    One teacher speaks in all, and so may the one speaker of a corpus of plain speech; the voices that ask the questions
    to measure by may not be trained on.
    """
    kind = "question" if record.answer else "speech"
    traces = [(f"{kind} text", text_key(record.said.text))]
    if record.said.audio_sha256:
        traces.append((f"{kind} audio", record.said.audio_sha256))
        if record.answer and record.said.speaker not in ("", UNKNOWN):
            traces.append((VOICE, record.said.speaker))
    return traces


def trace_table(outcome: Outcome) -> pandas.DataFrame:
    """The table of `expectations.splits_apart_suite`: each trace of accepted records, once a split."""
    import pandas

    found = {
        (kind, value, record.split)
        for record in (outcome.records[index] for index in outcome.accepted)
        for kind, value in _traces(record)
    }
    return pandas.DataFrame(sorted(found), columns=["kind", "value", "split"])


def turn_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Rows of both turns.parquet in metadata order, with question_key for the suite.

    turn_id starts with two digits of a digest, so that the first turns by id are a fair sample of all topics.
    """
    rows = []
    for index in outcome.accepted:
        record = outcome.records[index]
        if record.answer:
            question_id, answer_id = outcome.ids[index]
            rows.append(
                {
                    "turn_id": f"{digest_of(_name(record))[:4]}-{_name(record)}",
                    "question_id": question_id,
                    "answer_id": answer_id,
                    "question_text": record.said.text,
                    "answer_text": record.answer.text,
                    "topic": record.topic,
                    "split": record.split,
                    "language": record.language,
                    "question_key": f"{text_key(record.said.text)} {record.said.audio_sha256}",
                }
            )
    return rows


def turn_table(rows: list[dict[str, Any]]) -> pa.Table:
    """turns.parquet."""
    return pa.Table.from_pylist(rows, schema=TURN)


def rejected_table(outcome: Outcome) -> pa.Table:
    """rejected.parquet: every record that was set aside, in metadata order."""
    rows = [
        {
            "source": record.source,
            "id": record.id,
            "row": record.line,
            "reason": failure.reason,
            "rule": failure.rule,
            "record": record.cells,
        }
        for record, failure in ((outcome.records[index], outcome.failures[index]) for index in sorted(outcome.failures))
    ]
    return pa.Table.from_pylist(rows, schema=REJECTED)


def facts_of(outcome: Outcome, voice: str) -> dict[str, Any]:
    """Counts and minutes for the card (see Manifest)."""
    records, kept = outcome.records, outcome.kept
    minutes: dict[str, dict[str, float]] = defaultdict(dict)
    for (role, split), seconds in kept.groupby(["role", "split"]).duration_s.sum().items():
        minutes[role][split] = round(float(seconds) / 60, 2)
    sources = {record.source: {"read": 0, "accepted": 0} for record in records}
    for index, record in enumerate(records):
        sources[record.source]["read"] += 1
        sources[record.source]["accepted"] += index not in outcome.failures
    turns = Counter(records[index].split for index in outcome.accepted if records[index].answer)
    return {
        "read": len(records),
        "accepted": len(outcome.accepted),
        "rejected": len(outcome.failures),
        "rejected_by_rule": dict(Counter(failure.rule for failure in outcome.failures.values()).most_common()),
        "turns": {split: turns[split] for split in SPLITS},
        "utterances": {role: int(count) for role, count in kept.role.value_counts().sort_index().items()},
        "minutes": dict(minutes),
        "sources": sources,
        "voice": voice or None,
        "unknown_speakers": int((kept.speaker == UNKNOWN).sum()),
        "without_sound": int(kept.snr_db.isna().sum()),
    }


def totals_table(facts: Mapping[str, Any]) -> pandas.DataFrame:
    """The one row of `expectations.totals_suite`."""
    import pandas

    return pandas.DataFrame(
        [
            {
                "read": facts["read"],
                "accepted_plus_rejected": facts["accepted"] + facts["rejected"],
                "rejected_fraction": facts["rejected"] / facts["read"],
                **facts["turns"],
            }
        ]
    )
