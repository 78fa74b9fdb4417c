"""WebDataset tars: files of one key, up to the first dot of their name, lie side by side and make one sample.

    000017.flac  000017.txt  [000017.json]                                      speech
    000017.question.wav  [000017.answer.wav]  000017.json or .question.txt ...  a turn

JSON has the cells under the names of omni_core/source_formats/__init__.py. A tar is read once from front to back, one
sample in memory, its sound by address; tarfile does that, so the package `webdataset` is not needed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from data_contracts.errors import SourceError
from omni_core.clips import FilePart, Recording
from omni_core.records import Record
from omni_core.source_formats import AUDIO_SUFFIXES, NAMES, SourceFormat, is_sound_read, record_of, set_aside, splits_of
from omni_core.validate import Failure

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TEXT_SUFFIXES = (".txt", ".text", ".lab", ".transcript")
MAX_TEXT_BYTES = 1 << 20
PIECE_BYTES = 1 << 20


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """Tars, here or in a folder a split."""
    return bool(_tars(folder, (".tar", *COMPRESSED)))


def _tars(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    places = (folder, *sorted(child for child in folder.iterdir() if child.is_dir()))
    return [path for place in places for path in sorted(place.iterdir()) if path.name.endswith(suffixes)]


@dataclass
class _Sample:
    """The files of one key."""

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    sound: dict[str, tuple[Recording | None, str, str]] = field(default_factory=dict)
    failure: Failure | None = None


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Turns where a sample has a question, else plain speech. A split is told by the tar's or its folder's name."""
    if packed := _tars(folder, COMPRESSED):
        raise SourceError(f"{packed[0]} is compressed, so its parts cannot be found again; unpack it to a .tar")
    tars = _tars(folder, (".tar",))
    names = [f"{path.parent.name if path.parent != folder else ''} {path.stem}" for path in tars]
    count = itertools.count(1)
    for path, split in zip(tars, splits_of(names), strict=True):
        defaults = {"language": language, "split": split}
        for sample in _samples(path):
            place = {"tar": path.name, "key": sample.key}
            name = f"{path.relative_to(folder).with_suffix('').as_posix()}/{sample.key}"
            failure = sample.failure or _lack(sample)
            if failure:
                yield set_aside(source, next(count), name, failure, place)
            else:
                yield record_of(source, next(count), name, sample.values, sample.sound, defaults)


def _lack(sample: _Sample) -> Failure | None:
    if "question_text" in sample.values:
        return None  # a turn without recordings is spoken by the teacher, as in a metadata.csv
    if "audio" not in sample.sound:
        return Failure("missing_audio", f"the sample has no recording ({', '.join(AUDIO_SUFFIXES)})")
    return None


def _samples(path: Path) -> Iterator[_Sample]:
    """Samples in the tar's order; a tar that is cut short or broken ends with one that says so."""
    sample: _Sample | None = None
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header that it has passed
                key, kind = _key(member)
                if not kind:
                    continue
                if sample and sample.key != key:
                    yield sample
                    sample = None
                sample = sample or _Sample(key)
                _add(sample, kind, tar, member, path)
    except (tarfile.TarError, EOFError, OSError) as error:
        broken = (
            f"{path.name} cannot be read behind its sample '{sample.key if sample else ''}' ({error}); copy it again"
        )
        sample = _Sample(sample.key if sample else "", failure=Failure("broken_tar", broken))
    if sample:
        yield sample


def _key(member: tarfile.TarInfo) -> tuple[str, str]:
    """(key, extension from the first dot on); no extension for what is no part of a sample."""
    path = PurePosixPath(member.name)
    stem, _, kind = path.name.partition(".")
    if not member.isfile() or not stem or stem.startswith("__"):
        return "", ""
    return (path.parent / stem).as_posix(), f".{kind.casefold()}" if kind else ""


def _add(sample: _Sample, kind: str, tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Put a file where it belongs: sound by address, texts and JSON by value; other kinds are not asked for."""
    role, _, suffix = kind.rpartition(".")
    role, suffix = role.removeprefix("."), f".{suffix}"
    prefix = f"{role}_" if role in ("question", "answer") else ""
    if suffix in AUDIO_SUFFIXES:
        where = FilePart(path, member.offset_data, member.size)
        sample.sound[f"{prefix}audio"] = where, f"{path.name}:{member.name}", _sha256(tar, member)
    elif suffix in TEXT_SUFFIXES and (prefix or "text" not in sample.values):
        sample.values[f"{prefix}text"] = _content(sample, tar, member)
    elif suffix == ".json":
        sample.values |= _cells(sample, _content(sample, tar, member)) | sample.values


def _content(sample: _Sample, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    assert file is not None, "a regular file"
    try:
        return file.read(MAX_TEXT_BYTES).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        sample.failure = Failure("broken_row", f"its file '{member.name}' is not text in UTF-8 ({error.reason})")
        return ""


def _cells(sample: _Sample, text: str) -> dict[str, Any]:
    """Our name -> value of a JSON object."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        found = error
    if not isinstance(found, dict):
        cause = found if isinstance(found, json.JSONDecodeError) else f"it holds a {type(found).__name__}"
        sample.failure = sample.failure or Failure("broken_row", f"its JSON is not an object of cells ({cause})")
        return {}
    by_lower = {str(name).casefold(): value for name, value in found.items() if isinstance(value, str | int | float)}
    return {
        name: by_lower[next(other for other in others if other in by_lower)]
        for name, others in NAMES.items()
        if not name.endswith("audio") and any(other in by_lower for other in others)
    }


def _sha256(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if not is_sound_read():
        return ""
    digest, file = hashlib.sha256(), tar.extractfile(member)
    assert file is not None, "a regular file"
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
