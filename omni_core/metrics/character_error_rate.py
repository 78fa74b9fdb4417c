"""Character error rate: transcripts and texts enter, counts of errors and characters leave. Fraction, lower is better, may pass 1.

    own_speech_cer   judge on the model's voice     against what the model wrote
    question_cer     the model's ear                against the question's text
    teacher_cer      judge on the teacher's voice   against the answer's text      floor: the judge's own errors

Levenshtein over the characters of the normalised words, joined by single spaces, errors and characters summed over the
corpus (Morris et al. 2004; jiwer.cer counts the same). A near miss ("Brasilia", "Brazilia") costs a letter here and a
word in word_error_rate: the two together tell a slip of sound from a wrong word. The unit for languages written without
spaces, whose pack returns a character a word: there the spaces are left out.

Do not read it across languages or scripts, nor instead of word_error_rate where words have spaces: "on" for "off" is 2 of
30 characters, and the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class CharacterErrorRate:
    """Counts by rapidfuzz's Levenshtein distance over characters."""

    is_slow = False
    figures = (
        Figure("own_speech_cer", "fraction", "lower", "characters of the spoken answer that differ from the model's own text",
               "char_errors", "reference_chars"),
        Figure("question_cer", "fraction", "lower", "characters of the question that the model hears wrong",
               "question_char_errors", "question_chars", parts="text"),
        Figure("teacher_cer", "fraction", "lower", "the judge's own errors, on the teacher's recordings",
               "teacher_char_errors", "teacher_chars"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words
        self._space = "" if getattr(pack, "error_unit", "word") == "character" else " "

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """A row a turn; the teacher's columns are None where the judge was not asked."""
        own = [self._count(turn.spoken_text, turn.transcript) for turn in turns]
        question = [self._count(turn.question_text, turn.heard_text) for turn in turns]
        teacher = [self._count(turn.reference_text, turn.teacher_transcript) for turn in turns]
        return {
            "char_errors": [e for e, _ in own], "reference_chars": [n for _, n in own],
            "question_char_errors": [e for e, _ in question], "question_chars": [n for _, n in question],
            "teacher_char_errors": [e for e, _ in teacher], "teacher_chars": [n for _, n in teacher],
        }  # fmt: skip

    def _count(self, reference: str, heard: str | None) -> tuple[float | None, float | None]:
        """(errors, reference characters)."""
        from rapidfuzz.distance import Levenshtein

        if heard is None:
            return None, None
        text = self._space.join(self._words(reference))
        return float(Levenshtein.distance(text, self._space.join(self._words(heard)))), float(len(text))


def load(pack: LanguagePack, threads: int = 1) -> CharacterErrorRate:
    """The metric for a language; threads are not used."""
    return CharacterErrorRate(pack)
