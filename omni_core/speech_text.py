"""A text enters; the phoneme ids to speak, and the written word that each belongs to, leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from omni_core.languages import LanguagePack

LEADING_SILENCE = "^"


@dataclass(frozen=True)
class SpeechText:
    """phonemes (length,) ids of the pack's phoneme set; words (length,) index of the written word, 0 for the silence."""

    phonemes: Tensor
    words: Tensor


@lru_cache(maxsize=4)
def _ids(phoneme_set: tuple[str, ...]) -> dict[str, int]:
    return {symbol: index for index, symbol in enumerate(phoneme_set)}


def speech_text(text: str, pack: LanguagePack) -> SpeechText:
    """Text -> ids, the silence before the first word in front and a full stop at the end where the text has none."""
    ids = _ids(pack.phoneme_set)
    words = pack.phonemes(text)
    if words and (not words[-1] or words[-1][-1] not in ".?!"):
        words = [*words[:-1], [*words[-1], "."]]
    pairs = [(ids[LEADING_SILENCE], 0)] + [(ids[s], index) for index, word in enumerate(words) for s in word]
    phonemes, owners = zip(*pairs, strict=True)
    return SpeechText(torch.tensor(phonemes), torch.tensor(owners))
