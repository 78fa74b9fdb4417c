"""LibriTTS and LibriTTS-R: <subset>/<speaker>/<chapter>/<utterance>.wav with .normalized.txt beside it; many speakers.

A folder of the subsets (train-clean-100, dev-clean, test-other, ...) or one subset alone. LibriTTS-R's lists of
utterances whose restoration failed (libritts_r_failed_speech_restoration_examples/) are heeded.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from omni_core.records import Record
from omni_core.source_formats import SourceFormat, file_piece, lines_of, splits_of
from omni_core.validate import Failure

SUBSET = re.compile(r"^(train|dev|test)-(clean|other)(-\d+)?$")
TEXT = ".normalized.txt"


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """A normalised text where LibriTTS has it; LibriSpeech has the same folders without."""
    return any(True for subset in _subsets(folder) for _ in itertools.islice(subset.glob(f"*/*/*{TEXT}"), 1))


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Plain speech, in the order of the names; a subset's name tells its split."""
    subsets = _subsets(folder)
    flawed = _failed_restorations(folder)
    count = itertools.count(1)
    for subset, split in zip(subsets, splits_of([subset.name for subset in subsets]), strict=True):
        for path in _utterances(subset):
            text = path.with_name(path.stem + TEXT)
            words = text.read_text(encoding="utf-8", errors="replace").strip() if text.is_file() else ""
            name = path.relative_to(subset.parent).as_posix()
            speaker = f"{source}-{path.parent.parent.name}"
            said = file_piece(words, path, name, speaker)
            cells = json.dumps({"file": name, "text": words}, ensure_ascii=False)
            yield Record(source, next(count), path.stem, language, split, "", "CC-BY-4.0", said, cells=cells,
                         failure=flawed.get(path.stem))  # fmt: skip


def _subsets(folder: Path) -> list[Path]:
    if SUBSET.match(folder.resolve().name):
        return [folder]
    return [child for child in sorted(folder.iterdir()) if child.is_dir() and SUBSET.match(child.name)]


def _utterances(subset: Path) -> Iterator[Path]:
    """The wav of every utterance, be it there or only its text; one chapter is in memory at a time."""
    for chapter in (chapter for speaker in _folders(subset) for chapter in _folders(speaker)):
        yield from sorted({chapter / f"{path.name.split('.')[0]}.wav" for path in chapter.iterdir()
                           if path.suffix == ".wav" or path.name.endswith(TEXT)})  # fmt: skip


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir())


def _failed_restorations(folder: Path) -> dict[str, Failure]:
    lists = folder / "libritts_r_failed_speech_restoration_examples"
    failure = Failure("known_flaw", "LibriTTS-R lists it among the utterances whose restoration failed")
    return {
        Path(line.strip()).stem: failure
        for path in sorted(lists.glob("*.txt")) if lists.is_dir()
        for _, line in lines_of(path)
    }  # fmt: skip
