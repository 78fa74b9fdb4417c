"""Melody: an answer beside the teacher's recording of the same words enters, how far and how alike their pitch runs leaves.

    log_f0_rmse         root mean square difference of the natural logarithm of pitch; lower is better. 0.058 is a semitone
    log_f0_correlation  Pearson's r of the two curves, -1..1; higher is better. 1: the same melody, at whatever height

Over frames that are voiced on both sides, paired by dynamic time warping (omni_core/spoken_pairs.py), a number a turn and
the mean of turns; as in Hayashi et al. 2021, "ESPnet2-TTS". A turn with fewer than 10 such frames (0.1 s), with
another text than the reference, or silent, is left out; the count tells how many are in. The correlation also needs a
curve on both sides, so it may count fewer.

Do not read them in a voice that is not the teacher's (only the correlation then), nor as right or wrong intonation: a
sentence has many good melodies (hibari at 1.15 times its speed: 0.06 to 0.09 and 0.87 to 0.95; moved by 15 % in pitch: 0.17 and 0.95). An octave error of the analysis adds 0.69 in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack
from omni_core.spoken_pairs import SpokenPair, pairs_of_same_words

FEWEST_FRAMES = 10
FLATTEST = 1e-6  # standard deviation of log pitch under which there is no melody to correlate


class LogF0:
    """Two numbers a turn."""

    is_slow = False
    figures = (
        Figure("log_f0_rmse", "ln Hz", "lower", "distance of the pitch to the teacher's", "log_f0_rmse"),
        Figure("log_f0_correlation", "r", "higher", "likeness of the melody to the teacher's", "log_f0_correlation"),
    )

    def __init__(self, pack: LanguagePack):
        self._words = pack.words

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """None where there is nothing to compare."""
        curves = [log_curves(pair) if (pair := pairs_of_same_words(turn, self._words)) else None for turn in turns]
        return {
            "log_f0_rmse": [rmse(*pair) if pair else None for pair in curves],
            "log_f0_correlation": [correlation(*pair) if pair else None for pair in curves],
        }


def log_curves(pair: SpokenPair) -> tuple[np.ndarray, np.ndarray] | None:
    """ln of both pitches where both are voiced, (frames,) each; None for fewer than 10."""
    voiced = (pair.own_f0_hz > 0) & (pair.teacher_f0_hz > 0)
    if voiced.sum() < FEWEST_FRAMES:
        return None
    return np.log(pair.own_f0_hz[voiced]), np.log(pair.teacher_f0_hz[voiced])


def rmse(own: np.ndarray, teacher: np.ndarray) -> float:
    """0 or more."""
    return float(np.sqrt(np.mean((own - teacher) ** 2)))


def correlation(own: np.ndarray, teacher: np.ndarray) -> float | None:
    """-1..1; None when a curve is flat."""
    if min(own.std(), teacher.std()) < FLATTEST:
        return None
    return float(np.clip(np.mean((own - own.mean()) * (teacher - teacher.mean())) / (own.std() * teacher.std()), -1, 1))


def load(pack: LanguagePack, threads: int = 1) -> LogF0:
    """The metric for a language; threads are not used."""
    return LogF0(pack)
