"""Records enter, those that repeat another or leak between splits leave: they are compared by digests, never held at once.

    said  ->  text --------+
              recording ---+--> 16 bytes each, sorted -->  equal ones: who came first, who owns it
              voice -------+

The first of equal records stays. What two splits share is kept by the one that measures: by test before validation, by
validation before train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from data_contracts.ingest import SPLITS
from omni_core import parts
from omni_core.digests import digests, first_of_equals, joined, numbers
from omni_core.records import Record, text_key
from omni_core.utterances import UNKNOWN

if TYPE_CHECKING:
    import pandas

SPLIT_NAMES = {"train": "the train split", "validation": "the validation split", "test": "the sealed test split"}
TEXT, AUDIO, VOICE = "text", "audio", "voice"
"""Traces: what must not be in two splits. A voice is that of a recorded question, the others are of texts and recordings."""
TRACES = (TEXT, AUDIO, VOICE)


def name_of(record: Record) -> str:
    """Source and id."""
    return f"{record.source}/{record.id}"


def question_key(record: Record) -> str:
    """The words of what is said, and its recording."""
    return f"{text_key(record.said.text)} {record.said.audio_sha256}"


def _identity(record: Record) -> str:
    return joined(str(bool(record.answer)), record.split, text_key(record.said.text), record.said.audio_sha256)


def _trace(kind: str, record: Record) -> tuple[str, str] | None:
    """(whose trace it is, what it is), None for a record that has none of the kind.

    One teacher speaks in all, and so may the one speaker of a corpus of plain speech; the voices that ask the questions
    to measure by may not be trained on.
    """
    whose, said = "question" if record.answer else "speech", record.said
    if kind == TEXT:
        return f"{whose} text", text_key(said.text)
    if kind == AUDIO:
        return (f"{whose} audio", said.audio_sha256) if said.audio_sha256 else None
    is_known = record.answer and said.audio_sha256 and said.speaker not in ("", UNKNOWN)
    return (VOICE, said.speaker) if is_known else None


def _key(kind: str, record: Record) -> str | None:
    trace = _trace(kind, record)
    return joined(*trace) if trace else None


def _digests(records: Sequence[Record], rows: np.ndarray, text_of: Callable[[Record], str | None]) -> np.ndarray:
    return digests(text_of(records[int(row)]) for row in rows)


def split_numbers(records: Sequence[Record], rows: np.ndarray) -> np.ndarray:
    """(rows,) int8: places in SPLITS."""
    return np.fromiter((SPLITS.index(records[int(row)].split) for row in rows), np.int8, len(rows))


def between_tables(records: Sequence[Record], left: np.ndarray) -> Iterator[pandas.DataFrame]:
    """The table of `expectations.between_rows_suite` in parts: records `left`, by number, that are not yet set aside."""
    first = first_of_equals(_digests(records, left, _identity))
    splits = split_numbers(records, left)
    alone = np.flatnonzero(first == np.arange(len(left)))
    by_strength = alone[np.lexsort((alone, -splits[alone]))]
    owners = {kind: _owners(_digests(records, left, partial(_key, kind)), by_strength, splits) for kind in TRACES}
    of_texts = np.where(owners[TEXT] < 0, owners[AUDIO], owners[TEXT])
    for places in parts.in_parts(range(len(left))):
        yield _part(records, left, places, first, of_texts, owners[VOICE])


def _owners(keys: np.ndarray, by_strength: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """(rows,) digests of a trace -> (rows,) int32: the row of another split that keeps it, -1 for none."""
    strong = by_strength[keys[by_strength] != b""]
    owners = np.full(len(keys), -1, np.int32)
    if len(strong):
        known, at = np.unique(keys[strong], return_index=True)
        found = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        owner = strong[at[found]].astype(np.int32)
        leaks = (known[found] == keys) & (splits[owner] != splits)
        owners[leaks] = owner[leaks]
    return owners


def _part(
    records: Sequence[Record],
    left: np.ndarray,
    places: list[int],
    first: np.ndarray,
    of_texts: np.ndarray,
    of_voices: np.ndarray,
) -> pandas.DataFrame:
    import pandas

    def at(place: int) -> Record:
        return records[int(left[place])]

    rows: dict[str, list[str | None]] = {"duplicate_of": [], "text_also_in": [], "speaker_also_in": []}
    for place in places:
        rows["duplicate_of"].append(name_of(at(first[place])) if first[place] != place else None)
        text, voice = (at(owners[place]) if owners[place] >= 0 else None for owners in (of_texts, of_voices))
        rows["text_also_in"].append(f"{SPLIT_NAMES[text.split]}, as {name_of(text)}" if text else None)
        rows["speaker_also_in"].append(
            f"'{at(place).said.speaker}', a voice of {SPLIT_NAMES[voice.split]}" if voice else None
        )
    return pandas.DataFrame(rows, index=left[places], dtype=object)


def trace_tables(records: Sequence[Record], accepted: np.ndarray) -> Iterator[pandas.DataFrame]:
    """The table of `expectations.splits_apart_suite` in parts: each trace of accepted records, once a split and part."""
    import pandas

    for rows in parts.in_parts(accepted):
        found = {
            (*trace, record.split)
            for record in (records[int(row)] for row in rows)
            for trace in (_trace(kind, record) for kind in TRACES)
            if trace
        }
        yield pandas.DataFrame(sorted(found), columns=["kind", "value", "split"])


def trace_numbers(records: Sequence[Record], accepted: np.ndarray) -> pandas.DataFrame:
    """The same of all rows, each trace once a split: equal cells are equal numbers."""
    import pandas

    splits, tables = split_numbers(records, accepted), []
    for number, kind in enumerate(TRACES):
        keys = _digests(records, accepted, partial(_key, kind))
        there = keys != b""
        pairs = np.unique(numbers(keys[there]).astype(np.int64) * len(SPLITS) + splits[there])
        found = {"value": pairs // len(SPLITS), "split": pairs % len(SPLITS)}
        tables.append(pandas.DataFrame({"kind": np.full(len(pairs), number, np.int8)} | found))
    return pandas.concat(tables, ignore_index=True)
