"""Kaldi data folders: wav.scp, text, and where they are there segments, utt2spk, utt2lang; one folder, or one a split.

    text      <utterance> <words>                      segments  <utterance> <recording> <start s> <end s>
    wav.scp   <recording> <file | file.ark:offset>     utt2spk   <utterance> <speaker>

A command in wav.scp (it ends with a bar) is never run: its utterances are set aside.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from omni_core.clips import FilePart, Stretch
from omni_core.records import Piece, Record
from omni_core.source_formats import SourceFormat, is_sound_read, lines_of, splits_of
from omni_core.store import sha256_of
from omni_core.validate import Failure

ARCHIVE = re.compile(r"^(?P<path>.+):(?P<offset>\d+)$")


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """wav.scp and text, here or in a folder below."""
    return bool(_data_folders(folder))


def _data_folders(folder: Path) -> list[Path]:
    places = [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
    return [place for place in places if (place / "wav.scp").is_file() and (place / "text").is_file()]


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Plain speech: every utterance that text, segments or wav.scp names."""
    folders = _data_folders(folder)
    count = itertools.count(1)
    for place, split in zip(folders, splits_of([place.name for place in folders]), strict=True):
        tables = _Tables(place)
        for utterance in tables.utterances():
            said, failure = tables.piece(utterance)
            cells = {"folder": place.name, "utterance": utterance, "text": said.text, "recording": said.audio_name}
            tongue = tables.languages.get(utterance, language)
            yield Record(source, next(count), utterance, tongue, split, "", "", said,
                         cells=json.dumps(cells, ensure_ascii=False), failure=failure)  # fmt: skip


def _table(path: Path) -> dict[str, str]:
    """First word -> rest of the line; no table when there is no file."""
    lines = (line.split(maxsplit=1) for _, line in lines_of(path)) if path.is_file() else ()
    return {words[0]: words[1].strip() if len(words) > 1 else "" for words in lines}


@dataclass
class _Tables:
    """The tables of one data folder."""

    folder: Path
    texts: dict[str, str] = field(init=False)
    languages: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.texts, self.languages = _table(self.folder / "text"), _table(self.folder / "utt2lang")
        self._recordings, self._speakers = _table(self.folder / "wav.scp"), _table(self.folder / "utt2spk")
        self._segments = _table(self.folder / "segments")

    def utterances(self) -> list[str]:
        """Names in the order of segments (or wav.scp), then those that only text has."""
        return list(dict.fromkeys([*(self._segments or self._recordings), *self.texts]))

    def piece(self, utterance: str) -> tuple[Piece, Failure | None]:
        """The text and its sound, or the text and why it has none."""
        text, speaker = self.texts.get(utterance, ""), self._speakers.get(utterance, "")
        where = self._place(utterance)
        if isinstance(where, Failure):
            return Piece(text, speaker=speaker), where
        recording, span = where
        sound, file = _recording(self._recordings[recording], self.folder)
        sha256 = _sha256(file) if is_sound_read() and file.is_file() else ""
        if sha256 and (span or isinstance(sound, FilePart)):
            part = f"{sha256} {sound.offset if isinstance(sound, FilePart) else 0} {span}"
            sha256 = hashlib.sha256(part.encode()).hexdigest()
        cut = Stretch(sound, span[0], span[1] if span[1] >= 0 else None) if span else sound
        name = self._recordings[recording] + "".join(f" {edge:g}" for edge in span)
        return Piece(text, cut, name, sha256, speaker), None

    def _place(self, utterance: str) -> tuple[str, tuple[float, ...]] | Failure:
        """(recording, (start_s, end_s) or ()), or why there is none."""
        recording, span = utterance, tuple[float, ...]()
        if self._segments:
            words = self._segments.get(utterance, "").split()
            try:
                recording, span = words[0], (float(words[1]), float(words[2]))
            except (IndexError, ValueError):
                wrong = f"segments has '{' '.join(words)}' for it, not a recording with start and end in seconds"
                return Failure("broken_row", wrong)
        file = self._recordings.get(recording, "")
        if not file:
            return Failure("missing_file", f"wav.scp does not name the recording '{recording}'")
        if file.endswith("|") or file == "-":
            mend = "is a command, which is not run; write its output to a wav or flac file and name that in wav.scp"
            return Failure("command", f"the recording '{recording}' {mend}")
        return recording, span


def _recording(name: str, folder: Path) -> tuple[Path | FilePart, Path]:
    """(where the sound is, its file). A relative path counts from the recipe's folder, mostly two above."""
    archive = ARCHIVE.match(name)
    path = Path(archive["path"] if archive else name)
    places = [place / path for place in (folder, folder.parent, folder.parent.parent)]
    file = next((place for place in places if place.is_file()), places[0])
    return (FilePart(file, int(archive["offset"])), file) if archive else (file, file)


@lru_cache(maxsize=256)
def _sha256(path: Path) -> str:
    """A recording has many segments, an archive many recordings: each is read once."""
    return sha256_of(path)
