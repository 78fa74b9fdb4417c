"""Voicing: an answer beside the teacher's recording of the same words enters, frames voiced on one side only are counted. Fraction, lower is better.

    voicing_error = frames voiced in one and unvoiced in the other / all paired frames        (V/UV error)

Frames are paired by dynamic time warping (omni_core/spoken_pairs.py); corpus sums, so long answers count more. It hears
hoarse vowels, buzzing consonants and breaks of the voice. Equal recordings give 0, hibari at 1.15 times its speed 0.06 to 0.11.

Answers with another text, and silent ones, are left out; the count tells how many are in. Do not read it on whispered or
very noisy speech, where no pitch analysis tells voice from noise, nor against a voice that is not the teacher's.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack
from omni_core.spoken_pairs import pairs_of_same_words


class VoicingError:
    """Counts of frames."""

    is_slow = False
    figures = (
        Figure("voicing_error", "fraction", "lower", "frames voiced where the teacher's are not, or the reverse",
               "voicing_errors", "paired_frames"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """Frames a turn, None where there is nothing to compare."""
        pairs = [pairs_of_same_words(turn, self._words) for turn in turns]
        return {
            "voicing_errors": [float(((p.own_f0_hz > 0) != (p.teacher_f0_hz > 0)).sum()) if p else None for p in pairs],
            "paired_frames": [float(len(p.own_f0_hz)) if p else None for p in pairs],
        }


def load(pack: LanguagePack, threads: int = 1) -> VoicingError:
    """The metric for a language; threads are not used."""
    return VoicingError(pack)
