"""Cascade retention: answers to the heard and to the written question enter, what hearing leaves of the score leaves. Fraction, higher is better.

    text_in_accuracy     right answers when the same model reads the question: what a perfect recogniser before it would give
    cascade_retention    right answers when it hears / right answers when it reads

Right is answer_accuracy's rule, word by word. Both go through the same weights, prefix and decoding, so only the ear differs;
the speech-to-text gap as in Chen et al. 2024, "VoiceBench". 1 means that nothing is lost by hearing; above 1 hearing helps, by
chance or because the prefix was trained on heard questions only.

Do not read it when text_in_accuracy is low: a ratio of two small counts says little, and of none it cannot be computed. Not a
score of the model: one that answers nothing right in text and speech alike has no retention, and a weak text path raises it.
Costs one more written answer a turn, 0.2 s of the quickstart's model on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class CascadeRetention:
    """Matches on both sides."""

    is_slow = False
    figures = (
        Figure("text_in_accuracy", "fraction", "higher", "right answers to the written question", "text_in_correct",
               parts="text"),
        Figure("cascade_retention", "fraction", "higher", "right answers to the spoken question, of those to the written",
               "speech_in_correct", "text_in_correct", parts="text"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """1.0 for a match, else 0.0; None where the written question was not asked."""
        asked = [turn.text_in_answer is not None for turn in turns]
        return {
            "speech_in_correct": [self._match(t, t.spoken_text) if a else None for t, a in zip(turns, asked, strict=True)],
            "text_in_correct": [self._match(t, t.text_in_answer or "") if a else None for t, a in zip(turns, asked, strict=True)],
        }  # fmt: skip

    def _match(self, turn: AnsweredTurn, answer: str) -> float:
        words = self._words(answer)
        return float(bool(words) and words == self._words(turn.reference_text))


def load(pack: LanguagePack, threads: int = 1) -> CascadeRetention:
    """The metric for a language; threads are not used."""
    return CascadeRetention(pack)
