"""Source folders enter; the texts of their questions and answers leave, at most so many rows a source: no sound is opened."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from data_contracts.errors import SourceError
from data_contracts.ingest import IngestSettings
from omni_core.records import drawn_split
from omni_core.source_formats import texts_alone
from omni_core.sources import OWN, format_of, load_format, source_names

MAX_ROWS = 50_000
"""Rows read of a metadata.csv: enough for every figure of the plan, and bounded in time."""
MAX_RECORDS = 5_000
"""Records read of any other format, some of which open a file a record."""


@dataclass
class SourceTexts:
    """What is said in split train (questions, answers, speech), and what is known of the sources."""

    questions: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """An answer a turn."""
    speech: list[str] = field(default_factory=list)
    """Practice speech: it answers nothing."""
    records: dict[str, int] = field(default_factory=dict)
    """Source's name, as ingest names it -> rows of every split; without a source that was not read to its end."""
    unread: list[str] = field(default_factory=list)
    """Sources that cannot be read; ingest will say more."""
    cut: list[str] = field(default_factory=list)
    """Sources of which only the first rows were read."""

    @property
    def distinct_answers(self) -> int:
        """Different sentences that the speech head learns from."""
        return len(set(self.answers) | set(self.speech))

    def number(self, found: int) -> str:
        """A count of the data, as far as it was read."""
        if not self.unread and not self.cut:
            return str(found)
        return f"at least {found}" if found else "not known how many"

    def add(self, row: Mapping[str, str | None]) -> None:
        """A row of split train, under the names of a metadata.csv."""
        if row.get("question_text"):
            self.questions.append(row["question_text"] or "")
        if row.get("answer_text"):
            self.answers.append(row["answer_text"] or "")
        if row.get("text"):
            self.speech.append(row["text"] or "")


def source_texts(settings: IngestSettings) -> SourceTexts:
    """Of every source, whatever its format."""
    texts = SourceTexts()
    for name, source in zip(source_names([Path(s) for s in settings.sources]), settings.sources, strict=True):
        try:
            rows, limit = _rows(Path(source), settings.formats.get(source), settings)
            read = list(islice(rows, limit + 1))
        except (OSError, ValueError, csv.Error, SourceError):
            texts.unread.append(source)
            continue
        if len(read) > limit:
            texts.cut.append(source)
        else:
            texts.records[name] = len(read)
        for row in read[:limit]:
            if (row.get("split") or "train") == "train":
                texts.add(row)
    return texts


Row = dict[str, str]


def _rows(folder: Path, name: str | None, settings: IngestSettings) -> tuple[Iterator[Row], int]:
    """Rows under the names of a metadata.csv, and how many of them are read."""
    if (found := format_of(folder, name)) == OWN:
        return _of_metadata_csv(folder), MAX_ROWS
    return _of_records(folder, found, settings), MAX_RECORDS


def _of_metadata_csv(folder: Path) -> Iterator[Row]:
    """Straight from the table: its Records look for a file each."""
    with open(folder / "metadata.csv", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _of_records(folder: Path, name: str, settings: IngestSettings) -> Iterator[Row]:
    """What ingest would read; what it would set aside at once counts, and says nothing."""
    with texts_alone():
        for record in load_format(name).records("", folder, settings.language):
            split = record.split or drawn_split(record.said.text, settings.held_out_fraction)
            texts = (
                {"question_text": record.said.text, "answer_text": record.answer.text}
                if record.answer
                else {"text": record.said.text}
            )
            yield {"split": split} | ({} if record.failure or not all(texts.values()) else texts)
