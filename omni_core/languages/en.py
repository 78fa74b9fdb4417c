"""English: text enters, phonemes (hibari's G2P, misaki's alphabet) or normalised words (Whisper's rules) leave.

A phoneme's id is stress * len(BASES) + base, so that a head can embed sound and stress apart and a rare
combination of the two is still known.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

BASES = (
    "^", ".", ",", "?", "!", ";", ":", "-",
    "A", "I", "O", "W", "Y", "a", "i", "u", "æ", "ɑ", "ɐ", "ɔ", "ə", "ɛ", "ɜ", "ɪ", "ʊ", "ʌ", "ᵊ", "ᵻ", "ɒ", "ː",
    "b", "d", "f", "h", "j", "k", "l", "m", "n", "p", "s", "t", "v", "w", "z", "ð", "ŋ", "ɡ", "ɹ", "ɾ", "ʃ", "ʒ",
    "ʔ", "ʤ", "ʧ", "θ", "T", "x",
)  # fmt: skip
"""Sounds and pauses; "^" is the silence before the first word."""
STRESSES = ("", "ˈ", "ˌ")
PAUSE_OF = {"—": ",", "–": ",", "…": ".", "(": ",", ")": ",", '"': "", "“": "", "”": "", "’": "", "'": ""}

FUNCTION_WORDS = frozenset([
    "a", "an", "the", "is", "are", "was", "were", "be", "been", "am", "do", "does", "did", "has", "have", "had", "will",
    "would", "can", "could", "shall", "should", "may", "might", "of", "to", "in", "for", "at", "by", "with", "from", "it",
    "its", "that", "this", "these", "those", "there", "here", "i", "you", "he", "she", "they", "we", "me", "my", "your",
    "his", "her", "their", "our", "us", "them", "now", "then", "so", "and", "or", "as", "please", "ok", "okay", "yes",
    "sure", "well", "just", "also", "which", "what",
])  # fmt: skip
"""Words that two right answers may differ in; on, off, up and down are none of them, they are what a lamp is told."""
NEGATIONS = frozenset(["no", "not", "never", "none", "nothing", "nobody", "neither", "nor", "cannot", "without"])


@lru_cache(maxsize=1)
def _g2p():
    from hibari.g2p import G2P

    return G2P(british=False)


@lru_cache(maxsize=1)
def _normalizer():
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


def _symbols(word: str) -> list[str]:
    """One word of a phoneme string -> symbols, a stress mark joined to the sound after it."""
    symbols, stress = [], ""
    for char in word:
        if char in STRESSES:
            stress = char
            continue
        char = PAUSE_OF.get(char, char)
        if char in BASES:
            symbols.append(stress + char)
            stress = ""
    return symbols


class English:
    """The pack; stateless, the G2P and the normaliser are loaded at first use."""

    error_unit = "word"
    num_bases = len(BASES)
    num_stresses = len(STRESSES)
    scripts = ("LATIN",)
    function_words = FUNCTION_WORDS
    negations = NEGATIONS

    @cached_property
    def phoneme_set(self) -> tuple[str, ...]:
        return tuple(stress + base for stress in STRESSES for base in BASES)

    def phonemes(self, text: str) -> list[list[str]]:
        """Context decides ("the" before a vowel), so the sentence goes in whole where words and readings match up."""
        written = text.split()
        spoken = (_g2p()(text) or "").split()
        if len(spoken) == len(written):
            return [_symbols(word) for word in spoken]
        return [_symbols((_g2p()(word) or "").replace(" ", "")) for word in written]

    def words(self, text: str) -> list[str]:
        """Lower case, no punctuation, numbers as digits (Whisper, Radford et al. 2022, appendix C)."""
        return _normalizer()(text).split()


def load() -> English:
    """The English pack."""
    return English()
