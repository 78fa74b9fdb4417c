"""Mozilla Common Voice, one language's folder: train.tsv, dev.tsv, test.tsv (else validated.tsv), clips/*.mp3.

The three tables hold what two listeners validated, no speaker in two of them. invalidated.tsv and other.tsv are not
read; clips whose sentence listeners reported (reported.tsv) are set aside.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from data_contracts.errors import SourceError
from omni_core.records import Record, split_named
from omni_core.source_formats import SourceFormat, file_piece
from omni_core.validate import Failure

TABLES = ("train.tsv", "dev.tsv", "test.tsv")
ALL = "validated.tsv"
NEEDED = ("path", "sentence")


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """One of the tables beside a folder clips."""
    return (folder / "clips").is_dir() and any((folder / name).is_file() for name in (*TABLES, ALL))


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Plain speech, each row's locale as its language."""
    reported = _reported(folder)
    count = itertools.count(1)
    tables = [name for name in TABLES if (folder / name).is_file()] or [ALL]
    for name in tables:
        split = split_named(name) if len(tables) > 1 else ""
        for row in _rows(folder / name, NEEDED):
            failure = reported.get(row.get("sentence_id") or row["sentence"])
            clip = f"clips/{row['path']}"
            said = file_piece(row["sentence"].strip(), folder / clip, clip, row.get("client_id") or "")
            cells = json.dumps({"table": name, **row}, ensure_ascii=False)
            yield Record(source, next(count), Path(row["path"]).stem, row.get("locale") or language, split,
                         row.get("sentence_domain") or "", "CC0-1.0", said, cells=cells, failure=failure)  # fmt: skip


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a tab-separated table without quoting; missing cells are empty."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval="", restkey="surplus")
            if missing := [column for column in needed if column not in (reader.fieldnames or ())]:
                raise SourceError(
                    f"{path} lacks the column '{missing[0]}'; found: {', '.join(reader.fieldnames or ())}"
                )
            for row in reader:
                yield {name: value for name, value in row.items() if isinstance(value, str)}
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a table in UTF-8 ({error}); copy it again") from error


def _reported(folder: Path) -> dict[str, Failure]:
    """Sentence (and its id, where there is one) -> why listeners reported it."""
    path = folder / "reported.tsv"
    found: dict[str, Failure] = {}
    for row in _rows(path, ("sentence", "reason")) if path.is_file() else ():
        reason = row["reason"].strip() or "no reason given"
        failure = Failure("known_flaw", f"listeners of Common Voice reported its sentence: {reason}")
        found |= {key: failure for key in (row["sentence"], row.get("sentence_id", "")) if key}
    return found
