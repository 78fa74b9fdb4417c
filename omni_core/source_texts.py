"""Source folders enter; the texts of their questions and answers leave, read from the metadata alone: no audio is opened."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni_core.sources import source_names

MAX_ROWS = 50_000
"""Rows read a source: enough for every figure of the plan, and bounded in time."""


@dataclass(frozen=True)
class SourceTexts:
    """What is said, by split train (questions, answers, speech) and in all (longest)."""

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    """An answer a turn."""
    speech: tuple[str, ...]
    """Practice speech: it answers nothing."""
    records: Mapping[str, int]
    """Source's name, as ingest names it -> rows of every split."""
    unread: tuple[str, ...] = ()
    """Sources without a metadata.csv that can be read; ingest will say more."""

    @property
    def distinct_answers(self) -> int:
        """Different sentences that the speech head learns from."""
        return len(set(self.answers) | set(self.speech))


def source_texts(sources: Sequence[str]) -> SourceTexts:
    """The rows of split train; a source in another form is named in `unread`."""
    questions: list[str] = []
    answers: list[str] = []
    speech: list[str] = []
    records: dict[str, int] = {}
    unread = []
    for name, source in zip(source_names([Path(source) for source in sources]), sources, strict=True):
        try:
            rows = _rows(Path(source))
        except (OSError, ValueError, csv.Error):
            unread.append(source)
            continue
        records[name] = len(rows)
        for row in rows:
            if (row.get("split") or "train") == "train":
                questions += [row["question_text"]] if row.get("question_text") else []
                answers += [row["answer_text"]] if row.get("answer_text") else []
                speech += [row["text"]] if row.get("text") else []
    return SourceTexts(tuple(questions), tuple(answers), tuple(speech), records, tuple(unread))


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metadata.csv", encoding="utf-8-sig", newline="") as file:
        return [row for row, _ in zip(csv.DictReader(file), range(MAX_ROWS), strict=False)]
