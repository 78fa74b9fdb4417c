"""Source folders enter, Records leave: one a row of every metadata.csv, nothing judged and nothing dropped.

    turns:  id, language, [split, topic], question_text, answer_text, [question_audio, answer_audio,
            question_speaker, answer_speaker, license]
    speech: id, language, [split], text, audio, [speaker, license]          columns in brackets may be missing

Audio paths are relative to the source's folder; an empty cell means that the text is to be spoken by the teacher.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_contracts.errors import SourceError
from omni_core.store import sha256_of

METADATA = "metadata.csv"
TURN_REQUIRED = ("id", "language", "question_text", "answer_text")
TURN_OPTIONAL = ("split", "topic", "question_audio", "answer_audio", "question_speaker", "answer_speaker", "license")
SPEECH_REQUIRED = ("id", "language", "text", "audio")
SPEECH_OPTIONAL = ("split", "speaker", "license")


@dataclass(frozen=True)
class Piece:
    """A text and, when it was recorded, its file: `audio` is None when it is to be synthesized.

    `audio_name` is the path as the metadata writes it, the same wherever the source lies. `audio_sha256` is empty
    when there is no file, be it that none is named or that it is missing.
    """

    text: str
    audio: Path | None = None
    audio_name: str = ""
    audio_sha256: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Record:
    """One row of a metadata file. `said` is the question of a turn or the text of plain speech; `answer` is the
    turn's, None for plain speech. `line` counts from the header = 1; `position` counts records of the source from 0."""

    source: str
    line: int
    position: int
    id: str
    language: str
    split: str
    topic: str
    license: str
    said: Piece
    answer: Piece | None
    surplus_cells: int = 0
    cells: str = field(default="", repr=False)  # the row as JSON


def read_sources(sources: Sequence[str]) -> list[Record]:
    """All records of all folders, in order. Raises SourceError for a folder that cannot be read at all."""
    if not sources:
        raise SourceError("ingest.sources is empty; name at least one folder with a metadata.csv")
    folders = [Path(source) for source in sources]
    for number, folder in enumerate(folders):
        if folder.resolve() in [earlier.resolve() for earlier in folders[:number]]:
            raise SourceError(f"source '{folder}' is listed twice; list it once")
    return [
        record
        for name, folder in zip(source_names(folders), folders, strict=True)
        for record in read_source(name, folder)
    ]


def source_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names; the second of one name gets -2, so that adding a source renames no earlier one."""
    names: list[str] = []
    for folder in folders:
        stem, count = folder.resolve().name, 1
        name = stem
        while name in names:
            count += 1
            name = f"{stem}-{count}"
        names.append(name)
    return names


def read_source(name: str, folder: Path) -> list[Record]:
    """The records of one folder. Raises SourceError naming the file, the column and the mend."""
    path = _metadata_path(folder)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            reader.fieldnames = columns = [column.strip() for column in reader.fieldnames or ()]
            _check_columns(path, columns)
            rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file in UTF-8 ({error}); save it again as CSV, UTF-8") from error
    if not rows:
        raise SourceError(f"{path} has a header but no record; add records or take the folder out of ingest.sources")
    return [_record(name, folder, position, line, row) for position, (line, row) in enumerate(rows)]


def _metadata_path(folder: Path) -> Path:
    if not folder.is_dir():
        raise SourceError(f"source '{folder}' is not a folder; correct ingest.sources (relative to {Path.cwd()})")
    if not any(folder.iterdir()):
        raise SourceError(
            f"source '{folder}' is empty; put a {METADATA} and its audio there, or take it out of ingest.sources"
        )
    path = folder / METADATA
    if not path.is_file():
        raise SourceError(f"source '{folder}' has no {METADATA}; write one, its columns are in examples/README.md")
    return path


def _check_columns(path: Path, columns: list[str]) -> None:
    found = f"found: {', '.join(columns) or 'nothing'}"
    is_turns = bool({"question_text", "answer_text"} & set(columns))
    required = TURN_REQUIRED if is_turns else SPEECH_REQUIRED
    missing = [column for column in required if column not in columns]
    if missing and not is_turns and "text" in missing:
        raise SourceError(
            f"{path} lacks the columns 'question_text' and 'answer_text' (turns) or 'text' (speech); {found}"
        )
    if missing:
        raise SourceError(f"{path} lacks the column '{missing[0]}'; add it or rename one; {found}")
    if len(set(columns)) < len(columns):
        raise SourceError(f"{path} names a column twice; rename one; {found}")
    known = required + (TURN_OPTIONAL if is_turns else SPEECH_OPTIONAL)
    for column in set(columns) - set(known):
        # A misspelt optional column would silently have recordings replaced by synthesized speech.
        if meant := difflib.get_close_matches(column, set(known) - set(columns), n=1, cutoff=0.7):
            raise SourceError(
                f"{path} has a column '{column}', which is not read; is it '{meant[0]}'? Rename it; {found}"
            )


def _record(source: str, folder: Path, position: int, line: int, row: dict[str | None, str]) -> Record:
    surplus: Sequence[str] = row.pop(None, [])
    cells = {column: value.strip() for column, value in row.items() if column is not None}
    turn = "question_text" in cells
    said = ("question_text", "question_audio", "question_speaker") if turn else ("text", "audio", "speaker")
    answer = _piece(folder, cells, "answer_text", "answer_audio", "answer_speaker") if turn else None
    return Record(
        source,
        line,
        position,
        cells["id"],
        cells["language"],
        cells.get("split", "") or "train",
        cells.get("topic", ""),
        cells.get("license", "unknown"),
        _piece(folder, cells, *said),
        answer,
        len(surplus),
        json.dumps(cells, ensure_ascii=False),
    )


def _piece(folder: Path, cells: dict[str, str], text: str, audio: str, speaker: str) -> Piece:
    name = cells.get(audio, "")
    path = folder / name if name else None
    sha256 = sha256_of(path) if path and path.is_file() else ""
    return Piece(cells[text], path, name, sha256, cells.get(speaker, ""))
