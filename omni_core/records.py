"""What every source format hands on: Records, one a row of the source, nothing judged and nothing dropped."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from omni_core.clips import Recording
from omni_core.validate import Failure

# Names of splits as corpora write them; "train-clean-100", "dev_clean" and "test-00000-of-00001" are known by a word.
SPLIT_WORDS = {
    "train": "train", "training": "train", "dev": "validation", "valid": "validation", "val": "validation",
    "validation": "validation", "eval": "validation", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Piece:
    """A text and, when it was recorded, where its sound lies: `audio` is None when it is to be synthesized.

    `audio_name` is the recording as the source names it, the same wherever the source lies. `audio_sha256` is empty
    when there is no recording, be it that none is named or that it is missing. `codec` is empty for sound; it names
    the codec ("snac_24khz") when `audio` holds that codec's codes in place of sound.
    """

    text: str
    audio: Recording | None = None
    audio_name: str = ""
    audio_sha256: str = ""
    speaker: str = ""
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source. `said` is the question of a turn or the text of plain speech; `answer` is the turn's, None
    for plain speech. `line` is the row's line in a metadata file (header = 1), else its number in the source (first =
    1). An empty `split` is drawn by the question's text. `failure` sets it aside at once, with the format's reason."""

    source: str
    line: int
    id: str
    language: str
    split: str
    topic: str
    license: str
    said: Piece
    answer: Piece | None = None
    surplus_cells: int = 0
    cells: str = field(default="", repr=False)  # the row as JSON, without sound
    failure: Failure | None = None


def text_key(text: str) -> str:
    """A text's words alone: case, punctuation and spaces do not make another question."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def split_named(name: str) -> str:
    """'train', 'validation' or 'test' by the first word of a folder's or file's name that says so, else ''."""
    words = re.split(r"[^a-z]+", name.casefold())
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "")


def drawn_split(text: str, held_out_fraction: float) -> str:
    """A split that depends on the text alone, so that equal texts share one and more data moves none.

    'test' and 'validation' each get `held_out_fraction` of all texts.
    """
    place = int(hashlib.sha256(text_key(text).encode()).hexdigest()[:8], 16) / 2**32
    return "test" if place < held_out_fraction else "validation" if place < 2 * held_out_fraction else "train"
