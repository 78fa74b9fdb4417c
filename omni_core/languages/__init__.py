"""Language packs: phonemes, normalised words and the unit errors are counted in. A file here is a language.

`load()` returns a LanguagePack; the file's name is the BCP 47 tag in settings.
"""

from __future__ import annotations

from typing import Protocol


class LanguagePack(Protocol):
    """The role."""

    error_unit: str
    """"word" or "character": what an error rate counts."""
    phoneme_set: tuple[str, ...]
    """Every symbol that `phonemes` can return; its index, stress * num_bases + base, is the phoneme's id."""
    num_bases: int
    num_stresses: int

    def phonemes(self, text: str) -> list[list[str]]:
        """Text -> one list of symbols a written word; punctuation that is heard as a pause ends its word's list."""
        ...

    def words(self, text: str) -> list[str]:
        """Text -> normalised words, so that "5 minutes" and "five minutes" are the same."""
        ...
