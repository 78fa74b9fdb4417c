"""Source formats: a folder of speech as it was published -> Records. A file here is a format; its name is the name in settings.

What a source format is:

    recognises(folder)                  a look at names and first bytes: is this one?
    records(source, folder, language)   every row, lazily; `language` is assumed where the source states none

Nothing is judged and nothing is dropped: what cannot be read is a Record with a `failure`. Sound is named by its
address (omni_core/clips.py), never held. A newcomer adds one file; `load()` makes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data_contracts.errors import SourceError
from omni_core.clips import Recording
from omni_core.records import Piece, Record, split_named
from omni_core.validate import Failure

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")

# Our names (examples/README.md) and those that published datasets use for the same, the first found counts.
NAMES = {
    "language": ("language", "locale", "lang"),
    "split": ("split",),
    "topic": ("topic", "split_name", "category"),
    "license": ("license", "licence"),
    "question_text": ("question_text", "question", "instruction", "prompt"),
    "answer_text": ("answer_text", "answer", "response", "output"),
    "question_audio": ("question_audio", "question_speech", "instruction_audio", "speech_question"),
    "answer_audio": ("answer_audio", "answer_speech", "response_audio", "speech_answer"),
    "question_speaker": ("question_speaker",),
    "answer_speaker": ("answer_speaker",),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text", "text_normalized"),
    "audio": ("audio", "speech", "wav"),
    "speaker": ("speaker", "speaker_id", "client_id"),
}
IS_SOUND = ("audio", "question_audio", "answer_audio")


_texts_alone: ContextVar[bool] = ContextVar("texts_alone", default=False)


@contextlib.contextmanager
def texts_alone() -> Iterator[None]:
    """Inside it, sound is neither read nor hashed: a look at what is said takes a second (omni_core/source_texts.py)."""
    token = _texts_alone.set(True)
    try:
        yield
    finally:
        _texts_alone.reset(token)


def is_sound_read() -> bool:
    """False in `texts_alone`."""
    return not _texts_alone.get()


def sound_sha256(path: Path) -> str:
    """Of a recording's file; '' when there is none, or when sound is not read."""
    from omni_core.store import sha256_of

    return sha256_of(path) if is_sound_read() and path.is_file() else ""


class Recognises(Protocol):
    def __call__(self, folder: Path) -> bool: ...


class Records(Protocol):
    def __call__(self, source: str, folder: Path, language: str) -> Iterator[Record]: ...


@dataclass(frozen=True)
class SourceFormat:
    """The role; see the module's picture. `records` raises SourceError when the folder cannot be read at all."""

    recognises: Recognises
    records: Records
    is_general: bool = False
    """True: gives way to a format that recognises the same folder and knows more of it."""


def columns_of(found: list[str]) -> dict[str, str]:
    """Our name -> the dataset's column, for those that it has. Raises SourceError when there is neither a turn nor a
    text."""
    by_lower = {name.casefold(): name for name in reversed(found)}
    ours = {
        name: by_lower[next(other for other in others if other in by_lower)]
        for name, others in NAMES.items()
        if any(other in by_lower for other in others)
    }
    is_turns = {"question_text", "answer_text"} <= ours.keys()
    if not is_turns and "text" not in ours:
        raise SourceError(
            f"has neither a question and an answer nor a text; found: {', '.join(found) or 'nothing'}; rename a column "
            "(names are in omni_core/source_formats/__init__.py)"
        )
    return ours


def record_of(
    source: str,
    line: int,
    id: str,
    values: Mapping[str, Any],
    sound: Mapping[str, tuple[Recording | None, str, str]],
    defaults: Mapping[str, str],
    failure: Failure | None = None,
) -> Record:
    """A Record of values under our names; `sound` is our name -> (where, name, sha256); `defaults` fill empty cells.

    The id is made of file and row: what a dataset calls its id is often unique in a part of it only.
    """
    texts = {name: _text(value) for name, value in values.items()}
    cell = {name: texts.get(name) or defaults.get(name, "") for name in NAMES}
    is_turn = "question_text" in values

    def piece(text: str, audio: str, speaker: str) -> Piece:
        where, name, sha256 = sound.get(audio, (None, "", ""))
        return Piece(cell[text], where, name, sha256, cell[speaker])

    return Record(
        source,
        line,
        id,
        cell["language"],
        split_named(cell["split"]) or cell["split"],
        cell["topic"],
        cell["license"],
        piece("question_text", "question_audio", "question_speaker") if is_turn else piece("text", "audio", "speaker"),
        piece("answer_text", "answer_audio", "answer_speaker") if is_turn else None,
        cells=json.dumps({name: text for name, text in texts.items() if text}, ensure_ascii=False),
        failure=failure,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def set_aside(source: str, line: int, id: str, failure: Failure, place: Mapping[str, Any]) -> Record:
    """The Record of a row that cannot be read."""
    cells = json.dumps(dict(place), ensure_ascii=False)
    return Record(source, line, id, "", "", "", "", Piece(""), cells=cells, failure=failure)


def sha256_of_bytes(data: bytes) -> str:
    """Hex sha256, as of a file."""
    return hashlib.sha256(data).hexdigest()


def splits_of(names: list[str]) -> list[str]:
    """The split that each name tells. A dataset that is all `train` has none: its splits are drawn ('')."""
    splits = [split_named(name) for name in names]
    return splits if set(splits) - {"train", ""} else [""] * len(splits)


def file_piece(text: str, path: Path, name: str, speaker: str) -> Piece:
    """A text with a recording that is a file of its own, there or missing."""
    return Piece(text, path, name, sound_sha256(path), speaker)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a text file. Raises SourceError when it is not UTF-8."""
    with open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is not text in UTF-8 ({error.reason}); save it again as UTF-8") from error
