"""An address enters, the bytes of one recording leave: sources are listed by address, so their sound is never in memory.

    FilePart    bytes of a tar, or of a Kaldi archive        Stretch    seconds of a longer recording
    Cell        a cell of a Parquet or Arrow table           a file of its own is a plain Path

Each has `read_bytes`, as a Path has, and can be sent to another process.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import soundfile

from data_contracts.errors import SourceError
from omni_core import table_files


@dataclass(frozen=True, slots=True)
class FilePart:
    """`size_bytes` bytes of a file from `offset` on; without a size, as many as the RIFF header there says."""

    path: Path
    offset: int
    size_bytes: int | None = None

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError, or SourceError when no wav starts at the offset."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            if self.size_bytes is not None:
                return file.read(self.size_bytes)
            header = file.read(8)
            if header[:4] != b"RIFF" or len(header) < 8:
                raise SourceError(f"no wav starts at byte {self.offset}; it must be an archive of recordings")
            return header + file.read(struct.unpack("<I", header[4:])[0])


@dataclass(frozen=True, slots=True)
class Stretch:
    """A recording from `start_s` to `end_s`; None is its end."""

    whole: Path | FilePart
    start_s: float
    end_s: float | None

    def read_bytes(self) -> bytes:
        """The stretch as a wav of 32-bit floats (exact). Raises FileNotFoundError or SourceError."""
        file = str(self.whole) if isinstance(self.whole, Path) else io.BytesIO(self.whole.read_bytes())
        if isinstance(self.whole, Path) and not self.whole.is_file():
            raise FileNotFoundError(self.whole)
        try:
            with soundfile.SoundFile(file) as sound:
                start = round(self.start_s * sound.samplerate)
                end = sound.frames if self.end_s is None else min(round(self.end_s * sound.samplerate), sound.frames)
                if not 0 <= start < end:
                    raise SourceError(f"it has no {self.start_s:g} to {self.end_s or 'end'} s; correct the segment")
                sound.seek(start)
                samples, rate_hz = sound.read(end - start, dtype="float32", always_2d=True), sound.samplerate
        except soundfile.LibsndfileError as error:
            raise SourceError(f"it is not readable audio ({error.error_string}); export it again") from error
        wav = io.BytesIO()
        soundfile.write(wav, samples, rate_hz, format="WAV", subtype="FLOAT")
        return wav.getvalue()


@dataclass(frozen=True, slots=True)
class Cell:
    """A row's cell of a table file: bytes, a struct of bytes and path as Hugging Face writes audio, or a string."""

    path: Path
    column: str
    row: int

    def read_bytes(self) -> bytes:
        """Raises FileNotFoundError or SourceError. Rows asked for in order are read once."""
        stat = self.path.stat()
        value = _column(self.path, self.column, stat.st_mtime_ns).cell(self.row)
        value = value.get("bytes") if isinstance(value, dict) else value
        if value is None:
            raise SourceError(f"row {self.row} of {self.path.name} is empty")
        return value.encode() if isinstance(value, str) else value


Recording = Path | FilePart | Stretch | Cell


class _Column:
    """One column of a table file, read forwards a few rows at a time; a step back starts again."""

    def __init__(self, path: Path, column: str):
        self._path, self._column, self._lock = path, column, threading.Lock()
        self._first, self._values = 0, pa.array([])
        self._batches: Iterator[tuple[int, pa.RecordBatch]] = iter(())

    def cell(self, row: int) -> Any:
        with self._lock:
            if not self._first <= row < self._first + len(self._values):
                self._go_to(row)
            return self._values[row - self._first].as_py()

    def _go_to(self, row: int) -> None:
        try:
            # Not a step ahead: start again, at the row group of the row where the file has an index.
            near = range(self._first + len(self._values), self._first + len(self._values) + 50 * table_files.ROWS)
            if row not in near or not len(self._values):
                self._batches = table_files.batches(self._path, [self._column], row)
            for first, batch in self._batches:
                if row < first + len(batch):
                    self._first, self._values = first, batch.column(0)
                    return
        except table_files.UNREADABLE as error:
            raise SourceError(f"{self._path.name} cannot be read at row {row} ({error}); copy it again") from error
        raise SourceError(f"{self._path.name} ends before row {row}; it was changed while it was read")


@lru_cache(maxsize=2)
def _column(path: Path, column: str, mtime_ns: int) -> _Column:
    """Open columns; the time of the file is in the key, so that a file written anew is opened anew."""
    return _Column(path, column)
