"""Records and what became of them enter, tables leave in parts: those that the suites judge, and those of the Manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.base import choices
from data_contracts.ingest import REJECTED, SEALED, TURN, UTTERANCE, IngestSettings
from omni_core import components, parts
from omni_core.between_records import name_of, question_key
from omni_core.digests import digests, first_of_equals, joined, numbers
from omni_core.languages import unwritten
from omni_core.planned_shards import NOWHERE, PlannedShards
from omni_core.records import Record
from omni_core.set_aside import SetAside
from omni_core.shards import work_file
from omni_core.utterances import FAULTS, digest_of, pieces_of, utterance_id_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Outcome:
    """What became of every record: its utterances wait in `work`, `failures` tells why it was set aside."""

    records: Sequence[Record]
    shards: PlannedShards
    work: Path
    failures: SetAside

    @cached_property
    def kept(self) -> np.ndarray:
        """(rows,) True for the made utterances that an accepted record needs."""
        kept = np.zeros(sum(self.shards.sizes), bool)
        rows = self.shards.row_of[self.failures.accepted]
        kept[rows[rows != NOWHERE]] = True
        return kept

    def kept_of_shards(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, kept rows) of each shard."""
        starts = np.cumsum([0, *self.shards.sizes])
        return ((name, self.kept[start:end]) for name, start, end in
                zip(self.shards.names, starts, starts[1:], strict=False))  # fmt: skip


def record_tables(records: Sequence[Record], settings: IngestSettings) -> Iterator[pandas.DataFrame]:
    """The table of `expectations.record_suite` in parts, labelled by the records' numbers."""
    import pandas

    first = first_of_equals(digests(joined(record.source, record.id) for record in records))
    scripts = _scripts(settings.language)
    for part in parts.in_parts(range(len(records))):
        rows = [_row_of_record(records, index, int(first[index]), scripts, settings) for index in part]
        yield pandas.DataFrame(rows, index=part)


def _row_of_record(
    records: Sequence[Record], index: int, first: int, scripts: tuple[str, ...], settings: IngestSettings
) -> dict[str, Any]:
    record = records[index]
    first_line = record.line if first == index else records[first].line
    answer = record.answer.text if record.answer else None
    return {
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
        "first_line_of_id": str(first_line) if first_line != record.line else None,
        "unwritten": unwritten(f"{record.said.text}{answer or ''}", scripts) or None,
        "unvoiced": None if settings.voice.teacher else _unvoiced(record),
    }


def _scripts(language: str) -> tuple[str, ...]:
    """Of the language's pack; () for one that has none: then no character is wrong."""
    return components.load("languages", language).scripts if language in choices("languages") else ()


def _unvoiced(record: Record) -> str | None:
    return next((role for role, piece in pieces_of(record) if piece.audio is None), None)


def utterance_tables(shards: PlannedShards, work: Path) -> Iterator[pandas.DataFrame]:
    """Every made utterance without its audio and codes: the table of `expectations.utterance_suite` in parts, labelled
    by rows."""
    schema = pa.schema([field for field in (*UTTERANCE, *FAULTS) if field.name != "audio"])
    return _in_parts(pq.read_table(work_file(work, name), columns=schema.names) for name in shards.names)


def kept_tables(outcome: Outcome) -> Iterator[pandas.DataFrame]:
    """The kept utterances with their measures, without audio."""
    names = [name for name in UTTERANCE.names if name != "audio"]
    return _in_parts(
        pq.read_table(work_file(outcome.work, name), columns=names).filter(pa.array(kept))
        for name, kept in outcome.kept_of_shards()
    )


def _in_parts(tables: Iterable[pa.Table]) -> Iterator[pandas.DataFrame]:
    """Tables of shards put together to parts.ROWS rows, or a shard where that is larger; labels count through."""
    waiting: list[pa.Table] = []
    first, rows = 0, 0
    for table in tables:
        if rows and rows + len(table) > parts.ROWS:
            yield _labelled(waiting, first)
            first, rows, waiting = first + rows, 0, []
        waiting.append(table)
        rows += len(table)
    if waiting:
        yield _labelled(waiting, first)


def _labelled(tables: list[pa.Table], first: int) -> pandas.DataFrame:
    table = pa.concat_tables(tables).to_pandas()
    table.index += first
    return table


def turn_rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Rows of both turns.parquet in metadata order, with question_key for the suite.

    turn_id starts with two digits of a digest, so that the first turns by id are a fair sample of all topics.
    """
    for record in _accepted_turns(outcome):
        question_id, answer_id = (utterance_id_of(record, role, piece) for role, piece in pieces_of(record))
        yield {
            "turn_id": _turn_id(record),
            "question_id": question_id,
            "answer_id": answer_id,
            "question_text": record.said.text,
            "answer_text": record.answer.text if record.answer else "",
            "topic": record.topic,
            "split": record.split,
            "language": record.language,
            "question_key": question_key(record),
        }


def _accepted_turns(outcome: Outcome) -> Iterator[Record]:
    accepted = (outcome.records[int(index)] for index in outcome.failures.accepted)
    return (record for record in accepted if record.answer)


def _turn_id(record: Record) -> str:
    return f"{digest_of(name_of(record))[:4]}-{name_of(record)}"


def turn_frames(outcome: Outcome, columns: Sequence[str]) -> Iterator[pandas.DataFrame]:
    """The table of `expectations.accepted_turns_suite` in parts."""
    import pandas

    for rows in parts.in_parts(turn_rows(outcome)):
        yield pandas.DataFrame(rows, columns=list(columns))


def turn_numbers(outcome: Outcome) -> pandas.DataFrame:
    """Its columns that must not repeat, of all rows: equal cells are equal numbers."""
    import pandas

    ids = numbers(digests(_turn_id(record) for record in _accepted_turns(outcome)))
    splits = numbers(digests(record.split for record in _accepted_turns(outcome)))
    questions = numbers(digests(question_key(record) for record in _accepted_turns(outcome)))
    return pandas.DataFrame({"turn_id": ids, "split": splits, "question_key": questions})


def utterance_numbers(outcome: Outcome) -> pandas.DataFrame:
    """The column of kept utterances that must not repeat."""
    import pandas

    ids = (utterance_id for table in kept_tables(outcome) for utterance_id in table.utterance_id)
    return pandas.DataFrame({"utterance_id": numbers(digests(ids))})


def turn_tables(outcome: Outcome, sealed: bool) -> Iterator[pa.Table]:
    """turns.parquet of the sealed split, or of the others, in parts."""
    rows = (row for row in turn_rows(outcome) if (row["split"] == SEALED) == sealed)
    return _written(rows, TURN)


def rejected_tables(outcome: Outcome) -> Iterator[pa.Table]:
    """rejected.parquet in parts: every record that was set aside, in metadata order."""
    return _written((_rejected(outcome, index) for index in outcome.failures), REJECTED)


def _rejected(outcome: Outcome, index: int) -> dict[str, Any]:
    record, failure = outcome.records[index], outcome.failures[index]
    return {
        "source": record.source,
        "id": record.id,
        "row": record.line,
        "reason": failure.reason,
        "rule": failure.rule,
        "record": record.cells,
    }


def _written(rows: Iterator[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    """At least one table, be it empty."""
    first = True
    for part in parts.in_parts(rows):
        first = False
        yield pa.Table.from_pylist(part, schema=schema)
    if first:
        yield schema.empty_table()


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
