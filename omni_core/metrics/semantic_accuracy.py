"""Right meaning: the model's text and the reference enter, 1 or 0 leaves for the same content in whatever wording. Fraction, higher is better.

    semantic_accuracy          the model's own text
    spoken_semantic_accuracy   what the judge hears
    content_f1                 graded: F1 of content words of the model's text (Rajpurkar et al. 2016, section 4.3)

Words are normalised by the language pack (figures folded), its function words are dropped (a pack that lists none: no word is). An answer is right when

    1. every content word of the reference is in it, as often as there      "The kitchen lights are now on."
    2. no figure and no negation is in it that the reference lacks           -> kitchen lights on
    3. at least half of its content words are the reference's                "I turned on the kitchen lights" right
                                                                             "The kitchen lights are off"     wrong
It compares slots, not sentence embeddings, on purpose: in a closed domain right and wrong differ by one word, and mean-pooled
embeddings put "lights are on" nearer to "lights are off" than to "I switched them on" (tests/.../test_semantic_accuracy.py
shows it on the project's own language model). It runs offline, in microseconds, and says why.

A reference without content words is compared word by word. Do not read it in open domains, where a synonym ("automobile")
is a miss and word order ("dog bites man") is not seen; read it beside answer_accuracy, from which it differs only by wording.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack

LEAST_PRECISION = 0.5


class SemanticAccuracy:
    """Slots as multisets of content words."""

    is_slow = False
    figures = (
        Figure("semantic_accuracy", "fraction", "higher", "answers with the reference's content", "same_content",
               parts="text"),
        Figure("spoken_semantic_accuracy", "fraction", "higher", "answers heard with the reference's content",
               "spoken_same_content"),
        Figure("content_f1", "fraction", "higher", "overlap of the answers' content words with the reference's", "content_f1",
               parts="text"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words
        self._dropped: frozenset[str] = getattr(pack, "function_words", frozenset())
        self._negations: frozenset[str] = getattr(pack, "negations", frozenset())

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """1.0 for the same content, else 0.0, and the F1."""
        wanted = [self.content(turn.reference_text) for turn in turns]
        written = [self.content(turn.spoken_text) for turn in turns]
        heard = [self.content(turn.transcript) for turn in turns]
        return {
            "same_content": [float(same_content(w, a, self._negations)) for w, a in zip(wanted, written, strict=True)],
            "spoken_same_content": [
                float(same_content(w, a, self._negations)) for w, a in zip(wanted, heard, strict=True)
            ],
            "content_f1": [f1(w, a) for w, a in zip(wanted, written, strict=True)],
        }

    def content(self, text: str) -> Counter[str]:
        """Content words with their counts; all words when there is nothing else."""
        words = self._words(text)
        return Counter([word for word in words if word not in self._dropped] or words)


def same_content(wanted: Counter[str], answer: Counter[str], negations: frozenset[str]) -> bool:
    """The module's rule."""
    extra = answer - wanted
    deciding = any(word in negations or any(c.isdigit() for c in word) for word in extra)
    enough = wanted.total() >= LEAST_PRECISION * answer.total()
    return bool(wanted) and not wanted - answer and not deciding and enough


def f1(wanted: Counter[str], answer: Counter[str]) -> float:
    """2 common / (wanted + answer), 0..1; 0 for an answer without words."""
    total = wanted.total() + answer.total()
    return 2 * (wanted & answer).total() / total if total else 0.0


def load(pack: LanguagePack, threads: int = 1) -> SemanticAccuracy:
    """The metric for a language; threads are not used."""
    return SemanticAccuracy(pack)
