"""Our own format, a folder with a metadata.csv (examples/README.md) and the audio files that it names -> Records.

    turns:  id, language, [split, topic], question_text, answer_text, [question_audio, answer_audio,
            question_speaker, answer_speaker, license]
    speech: id, language, [split], text, audio, [speaker, license]          columns in brackets may be missing

Audio paths are relative to the source's folder; an empty cell means that the text is to be spoken by the teacher.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_contracts.errors import SourceError
from omni_core.records import Piece, Record
from omni_core.source_formats import SourceFormat
from omni_core.store import sha256_of

METADATA = "metadata.csv"
TURN_REQUIRED = ("id", "language", "question_text", "answer_text")
TURN_OPTIONAL = ("split", "topic", "question_audio", "answer_audio", "question_speaker", "answer_speaker", "license")
SPEECH_REQUIRED = ("id", "language", "text", "audio")
SPEECH_OPTIONAL = ("split", "speaker", "license")


def load() -> SourceFormat:
    """Our own format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """A metadata.csv whose first line has no bar; LJSpeech's has, and no header."""
    path = folder / METADATA
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return b"|" not in file.readline(1 << 16)


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """A Record a row. Raises SourceError naming the file, the column and the mend."""
    path = _metadata_path(folder)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            reader.fieldnames = columns = [column.strip() for column in reader.fieldnames or ()]
            _check_columns(path, columns)
            found = False
            for row in reader:
                found = True
                yield _record(source, folder, reader.line_num, row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV file in UTF-8 ({error}); save it again as CSV, UTF-8") from error
    if not found:
        raise SourceError(f"{path} has a header but no record; add records or take the folder out of ingest.sources")


def _metadata_path(folder: Path) -> Path:
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


def _record(source: str, folder: Path, line: int, row: dict[str | None, str]) -> Record:
    surplus: Sequence[str] = row.pop(None, [])
    cells = {column: value.strip() for column, value in row.items() if column is not None}
    turn = "question_text" in cells
    said = ("question_text", "question_audio", "question_speaker") if turn else ("text", "audio", "speaker")
    answer = _piece(folder, cells, "answer_text", "answer_audio", "answer_speaker") if turn else None
    return Record(
        source,
        line,
        cells["id"],
        cells["language"],
        cells.get("split", "") or "train",
        cells.get("topic", ""),
        cells.get("license", ""),
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
