"""LJSpeech and the many corpora in its form: metadata.csv of `id|as written|in words`, wavs/<id>.wav, one speaker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from omni_core.records import Record
from omni_core.source_formats import SourceFormat, file_piece, lines_of, set_aside
from omni_core.validate import Failure

LICENCE = "Public-Domain"  # of LJSpeech itself, as its README says; of other corpora in this form ingest.licences tells


def load() -> SourceFormat:
    """The format."""
    return SourceFormat(recognises, records)


def recognises(folder: Path) -> bool:
    """A metadata.csv with bars beside a folder wavs."""
    path = folder / "metadata.csv"
    if not path.is_file() or not (folder / "wavs").is_dir():
        return False
    with open(path, "rb") as file:
        return b"|" in file.readline(1 << 16)


def records(source: str, folder: Path, language: str) -> Iterator[Record]:
    """Plain speech; the text is the normalised one, or the written one where there is no other."""
    licence = LICENCE if folder.resolve().name.startswith("LJSpeech") else ""
    for line, row in lines_of(folder / "metadata.csv"):
        cells = [cell.strip() for cell in row.split("|")]
        if not 2 <= len(cells) <= 3:
            wrong = Failure("broken_row", f"the row has {len(cells)} cells, not id|text or id|text|normalised text")
            yield set_aside(source, line, cells[0], wrong, {"row": row})
            continue
        name = f"wavs/{cells[0]}.wav"
        said = file_piece(cells[-1] or cells[1], folder / name, name, source)
        yield Record(source, line, cells[0], language, "", "", licence, said, cells=json.dumps(cells))
