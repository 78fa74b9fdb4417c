"""Silence: waveforms enter, the share of quiet time and answers that stall leave. Fraction, lower is better.

    silent_share          seconds more than 40 dB under the answer's loudest frame / seconds of the answers
    teacher_silent_share  the same of the teacher's recordings: what the pauses of good speech amount to
    stalled_answers       answers with a pause of a second or more between two sounds, or before the first

Plain levels of 25 ms frames, no source. Read silent_share against the teacher's: less is hurried or noisy, more is padding
or lost words. Do not read it over background noise, which fills the pauses (0 is no merit there), nor on answers of several
sentences, whose pauses are meant. Answers without any sound are all silence here; truncation counts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni_core.measures import FLOOR_DB, FRAME_S, SILENCE_UNDER_PEAK_DB, frame_power_db
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack

STALL_S = 1.0


class Silence:
    """Levels in 25 ms frames."""

    is_slow = False
    figures = (
        Figure("silent_share", "fraction", "lower", "quiet time in the answers", "silent_s", "sounding_and_silent_s"),
        Figure("teacher_silent_share", "fraction", "lower", "quiet time in the teacher's recordings",
               "teacher_silent_s", "teacher_s"),
        Figure("stalled_answers", "fraction", "lower", "answers with a pause of a second", "stalled"),
    )  # fmt: skip

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """Seconds a turn, and 1.0 for one that stalls; an answer without sound does not stall."""
        own = [quiet(turn.waveform, turn.sample_rate_hz) for turn in turns]
        teacher = [quiet(turn.teacher_waveform, turn.teacher_sample_rate_hz) for turn in turns]
        return {
            "silent_s": [float(q.sum() * FRAME_S) for q in own],
            "sounding_and_silent_s": [float(len(q) * FRAME_S) for q in own],
            "teacher_silent_s": [float(q.sum() * FRAME_S) for q in teacher],
            "teacher_s": [float(len(q) * FRAME_S) for q in teacher],
            "stalled": [float(longest_pause_s(q) >= STALL_S) for q in own],
        }


def quiet(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """(samples,) -> True for each quiet frame of 25 ms, (frames,); no frame for no samples, all of one without sound."""
    if not len(waveform):
        return np.zeros(0, bool)
    power_db = frame_power_db(waveform, sample_rate_hz)
    return power_db <= max(power_db.max() - SILENCE_UNDER_PEAK_DB, FLOOR_DB)


def longest_pause_s(quiet_frames: np.ndarray) -> float:
    """The longest run of quiet frames that a sound follows, in seconds; 0 when nothing sounds."""
    edges = np.concatenate([[-1], np.nonzero(~quiet_frames)[0]])
    return float((np.diff(edges) - 1).max(initial=0) * FRAME_S)


def load(pack: LanguagePack, threads: int = 1) -> Silence:
    """The metric; levels have no language and take no threads."""
    return Silence()
