"""Right answers: the model's text and the reference enter, 1 or 0 leaves. Fraction, higher is better.

    answer_accuracy          the model's own text equals the reference, word by word
    spoken_answer_accuracy   what the judge hears equals the reference: thought and voice together

Exact match of normalised words (the language pack's), as in question answering (Rajpurkar et al. 2016, section 4.3).
Meant for closed domains with one right wording. In open ones a right answer in other words counts as wrong: do not
read it there.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class AnswerAccuracy:
    """Exact match; an answer without words is never right."""

    is_slow = False
    figures = (
        Figure("answer_accuracy", "fraction", "higher", "answers whose text is the reference, word by word", "correct",
               parts="text"),
        Figure("spoken_answer_accuracy", "fraction", "higher", "answers that the judge hears as the reference",
               "spoken_correct"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """1.0 for a match, else 0.0."""
        return {
            "correct": [self._match(turn.reference_text, turn.spoken_text) for turn in turns],
            "spoken_correct": [self._match(turn.reference_text, turn.transcript) for turn in turns],
        }

    def _match(self, reference: str, answer: str) -> float:
        words = self._words(answer)
        return float(bool(words) and words == self._words(reference))


def load(pack: LanguagePack, threads: int = 1) -> AnswerAccuracy:
    """The metric for a language; threads are not used."""
    return AnswerAccuracy(pack)
