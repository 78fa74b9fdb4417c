"""Duration: an answer and the teacher's recording of the same words enter, how much longer the longer one is leaves. Ratio, lower is better, 1 is equal.

    duration_ratio      max(own / teacher, teacher / own) of a turn's speech, mean of turns: too slow and too fast do not cancel
    comparable_answers  fraction of answers that say the teacher's words and sound at all; higher is better

The column own_over_teacher keeps the direction: above 1 the model is slower. Silence at both ends is cut off; pauses within count.
log_f0, voicing_error and mel_cepstral_distortion leave out the same turns as comparable_answers does.

Do not read it as quality: 0.9 to 1.1 is another good reading. Above 1.3 something is drawn out or lost, and own_speech_wer tells
what. Do not read it against a teacher that speaks at another rate on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack
from omni_core.spoken_pairs import SAMPLE_RATE_HZ, SHORTEST_S, same_words, speech_of


class DurationRatio:
    """Lengths of speech between its first and last audible frame."""

    is_slow = False
    figures = (
        Figure("duration_ratio", "ratio", "lower", "longer over shorter of answer and teacher's recording", "duration_ratio"),
        Figure("comparable_answers", "fraction", "higher", "answers that say what the teacher says", "comparable"),
    )  # fmt: skip

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """None where there is nothing to compare."""
        ratios = [self._ratio(turn) for turn in turns]
        return {
            "duration_ratio": [max(r, 1 / r) if r else None for r in ratios],
            "own_over_teacher": [*ratios],
            "comparable": [float(r is not None) for r in ratios],
        }

    def _ratio(self, turn: AnsweredTurn) -> float | None:
        if not same_words(turn, self._words):
            return None
        own = len(speech_of(turn.waveform, turn.sample_rate_hz))
        teacher = len(speech_of(turn.teacher_waveform, turn.teacher_sample_rate_hz))
        return own / teacher if min(own, teacher) >= SHORTEST_S * SAMPLE_RATE_HZ else None


def load(pack: LanguagePack, threads: int = 1) -> DurationRatio:
    """The metric for a language; threads are not used."""
    return DurationRatio(pack)
