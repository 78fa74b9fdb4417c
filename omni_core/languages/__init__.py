"""Language packs: phonemes, normalised words and the unit errors are counted in. A file here is a language.

`load()` returns a LanguagePack; the file's name is the BCP 47 tag in settings.
"""

from __future__ import annotations

import unicodedata
from typing import Protocol


class LanguagePack(Protocol):
    """The role."""

    error_unit: str
    """"word" or "character": what an error rate counts."""
    phoneme_set: tuple[str, ...]
    """Every symbol that `phonemes` can return; its index, stress * num_bases + base, is the phoneme's id."""
    num_bases: int
    num_stresses: int
    scripts: tuple[str, ...]
    """Scripts that the language is written in, as Unicode names them in its letters: ("LATIN",)."""

    def phonemes(self, text: str) -> list[list[str]]:
        """Text -> one list of symbols a written word; punctuation that is heard as a pause ends its word's list."""
        ...

    def words(self, text: str) -> list[str]:
        """Text -> normalised words, so that "5 minutes" and "five minutes" are the same."""
        ...


def unwritten(text: str, scripts: tuple[str, ...]) -> str:
    """The characters of a text, each once, that nobody reads aloud in a language of these scripts: "Hello 日本" -> "日本".

    Letters and digits of other scripts, pictures and control characters. Without scripts every character is right.
    """
    return "".join(dict.fromkeys(c for c in text if not _is_written(c, scripts))) if scripts else ""


def _is_written(character: str, scripts: tuple[str, ...]) -> bool:
    if character.isascii():
        return character.isprintable() or character.isspace()
    category = unicodedata.category(character)
    if category[0] in "LN":
        return unicodedata.name(character, "").startswith(
            (*scripts, "SUPERSCRIPT", "VULGAR FRACTION", "FEMININE", "MASCULINE")
        )
    return category[0] in "MPZ" or category in ("Sc", "Sm", "Sk") or character == "°"
