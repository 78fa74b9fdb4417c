"""VoiceAssistant-400K as published: Parquet shards of spoken questions whose answers are SNAC codes without sound.

    split_name, index, round, question, question_audio {bytes, path}, answer, answer_snac "# t0 ... t6 # t0 ..."

Shards are streamed: about 5 MB of sound are in memory, texts and addresses go to disk. Its known flaws (threads
of gpt-omni/mini-omni, among them issue 60, and what those who train on it leave out) are set aside with reasons.
It has no splits but train, so they are drawn.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from data_contracts.errors import SourceError
from omni_core import answer_codes, table_files
from omni_core.clips import Cell
from omni_core.records import Piece, Record
from omni_core.source_formats import SourceFormat, is_sound_read, set_aside, sha256_of_bytes
from omni_core.validate import Failure

COLUMNS = ("split_name", "index", "round", "question", "question_audio", "answer", "answer_snac")
SOUND = ("question_audio", "answer_snac")
NEEDED = {"question", "question_audio", "answer", "answer_snac"}
LICENCE = "Apache-2.0"
IDENTITY = "identity"  # rows in which the model tells who it is
MAX_QUESTION_S = 15.0  # from here on questions are left out
# English is spoken at 12 to 18 characters a second. A text past this bound was not said to its end.
MAX_CHARACTERS_A_SECOND = 25.0


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """The columns of its first readable table."""
    schemas = (table_files.schema(path) for _, path in table_files.find(folder))
    return set(next((schema.names for schema in schemas if schema), ())) >= NEEDED


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Turns; `language` is not asked, the dataset is English only."""
    count = itertools.count(1)
    for _, path in table_files.find(folder):
        schema = table_files.schema(path)
        columns = [name for name in COLUMNS if schema is None or name in schema.names]
        if lacking := sorted(NEEDED - set(columns)):
            raise SourceError(f"{path} lacks the column '{lacking[0]}' of VoiceAssistant-400K; download it again")
        if not is_sound_read():
            columns = [name for name in columns if name not in SOUND]
        for row, values in table_files.rows(path, columns):
            line, name = next(count), f"{path.stem}-{row}"
            if isinstance(values, Failure):
                yield set_aside(source, line, name, values, {"file": path.name, "row": row})
            else:
                yield _record(source, line, name, path, row, values)


def _record(source: str, line: int, name: str, path: Path, row: int, values: dict[str, Any]) -> Record:
    audio, codes = (values.get(name) for name in SOUND)
    codes = codes or ""
    audio = audio.get("bytes") if isinstance(audio, dict) else audio
    question, answer = (values["question"] or "").strip(), (values["answer"] or "").strip()
    topic = values.get("split_name") or ""
    heard = Cell(path, "question_audio", row) if audio else None
    place = {"file": path.name, "row": row} | {key: values.get(key) for key in ("split_name", "index", "round")}
    return Record(
        source,
        line,
        name,
        "en",
        "",
        topic,
        LICENCE,
        Piece(question, heard, f"{path.name} row {row}", sha256_of_bytes(audio) if audio else ""),
        Piece(
            answer, Cell(path, "answer_snac", row), "", sha256_of_bytes(codes.encode()), source, answer_codes.SNAC_24KHZ
        ),
        cells=json.dumps(place, ensure_ascii=False),
        failure=_flaw(topic, audio, answer, codes),
    )


def _flaw(topic: str, question_audio: bytes | None, answer: str, codes: str) -> Failure | None:
    """The first known flaw of a row."""
    if topic.casefold() == IDENTITY:
        return Failure("known_flaw", "split_name is 'identity': the answer tells who another model is")
    if not is_sound_read():
        return None
    if not question_audio:
        return Failure("missing_audio", "the row has no question audio")
    if (question_s := _duration_s(question_audio)) >= MAX_QUESTION_S:
        return Failure(
            "known_flaw", f"the question lasts {question_s:.1f} s; from {MAX_QUESTION_S:g} s on they are left out"
        )
    try:
        answer_s = answer_codes.duration_s(answer_codes.parse(codes))
    except SourceError as error:
        return Failure("broken_codes", str(error))
    if len(answer) > MAX_CHARACTERS_A_SECOND * answer_s:
        return Failure(
            "truncated_answer",
            f"the answer's text of {len(answer)} characters is longer than its {answer_s:.1f} s of codes can say "
            f"({MAX_CHARACTERS_A_SECOND:g} characters a second at most)",
        )
    return None


def _duration_s(audio: bytes) -> float:
    """Seconds by the header; 0 where it cannot be read: the utterance will say that it is broken."""
    try:
        return soundfile.info(io.BytesIO(audio)).duration
    except soundfile.LibsndfileError:
        return 0.0
