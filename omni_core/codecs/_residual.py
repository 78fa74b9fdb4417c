"""What residual codecs with public weights share: their first codebooks suffice, and a saved codec remembers how many."""

from __future__ import annotations

import json
from pathlib import Path

from data_contracts.components import CodecSettings
from data_contracts.errors import ComponentError

NOTE = "codec.json"


def codebooks_in_use(name: str, folder: Path | str, settings: CodecSettings, available: int, at_least: int = 1) -> int:
    """The number that the codec was saved with, else the settings'; raises ComponentError when it has not so many."""
    note = Path(folder) / NOTE
    number = json.loads(note.read_text())["num_codebooks"] if note.is_file() else settings.num_codebooks
    if not at_least <= number <= available:
        raise ComponentError(
            f"codec.num_codebooks is {number}; these weights of {name} have {at_least} to {available} to choose from"
        )
    return number


def note_codebooks(folder: Path, number: int) -> None:
    """Inverse of the reading above; the note also tells apart two artifacts of the same weights."""
    (folder / NOTE).write_text(json.dumps({"num_codebooks": number}))
