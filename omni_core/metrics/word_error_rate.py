"""Word error rate: transcripts and texts enter, counts of errors and words leave. Fraction, lower is better, may pass 1.

    own_speech_wer   judge on the model's voice       against what the model wrote     does it say what it means?
    question_wer     the model's ear                  against the question's text      does it hear what was said?
    teacher_wer      judge on the teacher's voice     against the answer's text        floor: the judge's own errors
    codec_wer        judge on it through the codec    against the answer's text        what the codec loses

Errors are substitutions + deletions + insertions of the best alignment (Levenshtein), summed over the corpus and
divided by the sum of reference words (Morris et al. 2004, "From WER and RIL to MER and WIL"). Words are normalised by
the language pack: Whisper prints figures, so numbers are folded.

Read own_speech_wer beside teacher_wer: the judge cannot go under its floor. Do not read it as naturalness, nor compare
it across judges. A model that writes nothing and says nothing has no error: answer_accuracy sees that.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack


class WordErrorRate:
    """Counts by rapidfuzz's Levenshtein distance over words."""

    is_slow = False
    figures = (
        Figure("own_speech_wer", "fraction", "lower", "words of the spoken answer that differ from the model's own text",
               "errors", "reference_words"),
        Figure("question_wer", "fraction", "lower", "words of the question that the model hears wrong",
               "question_errors", "question_words", parts="text"),
        Figure("teacher_wer", "fraction", "lower", "the judge's own errors, on the teacher's recordings",
               "teacher_errors", "teacher_words"),
        Figure("codec_wer", "fraction", "lower", "the judge on the teacher's recordings after the codec's round trip",
               "codec_errors", "codec_words"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._pack = pack

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """A row a turn; the teacher's columns are None where the judge was not asked."""
        own = [self._count(turn.spoken_text, turn.transcript) for turn in turns]
        question = [self._count(turn.question_text, turn.heard_text) for turn in turns]
        teacher = [self._count(turn.reference_text, turn.teacher_transcript) for turn in turns]
        codec = [self._count(turn.reference_text, turn.codec_transcript) for turn in turns]
        return {
            "codec_errors": [e for e, _ in codec], "codec_words": [w for _, w in codec],
            "errors": [e for e, _ in own], "reference_words": [w for _, w in own],
            "question_errors": [e for e, _ in question], "question_words": [w for _, w in question],
            "teacher_errors": [e for e, _ in teacher], "teacher_words": [w for _, w in teacher],
        }  # fmt: skip

    def _count(self, reference: str, heard: str | None) -> tuple[float | None, float | None]:
        """(errors, reference words)."""
        if heard is None:
            return None, None
        errors, words = word_errors(self._pack, reference, heard)
        return float(errors), float(words)


def word_errors(pack: LanguagePack, reference: str, heard: str) -> tuple[int, int]:
    """(errors, reference words) of one text."""
    from rapidfuzz.distance import Levenshtein

    words = pack.words(reference)
    return Levenshtein.distance(words, pack.words(heard)), len(words)


def load(pack: LanguagePack, threads: int = 1) -> WordErrorRate:
    """The metric for a language; threads are not used."""
    return WordErrorRate(pack)
