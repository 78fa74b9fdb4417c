"""Truncation: waveforms enter, 1 or 0 leaves for answers without sound and for answers cut off while speaking. Fraction, lower is better.

    silent_answers    the answer has no samples, or none above -60 dB of full scale
    cut_off_answers   its last 50 ms are within 20 dB of its loudest moment: speech fades or ends in silence

Plain signal levels, no source. A head that stops too early loses its last word, which word errors also see; a click at
the end they do not. Music or noise under the voice would count as cut off: do not read it there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni_core.measures import FRAME_S, frame_power_db
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack

SILENT_DB = -60.0
END_S = 0.05
CUT_OFF_DB = 20.0


class Truncation:
    """Levels in 25 ms frames."""

    is_slow = False
    figures = (
        Figure("silent_answers", "fraction", "lower", "answers without sound", "silent"),
        Figure("cut_off_answers", "fraction", "lower", "answers that end while speaking", "cut_off"),
    )

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """1.0 where it happened, else 0.0; a silent answer is not cut off."""
        silent = [is_silent(turn.waveform) for turn in turns]
        cut_off = [not s and is_cut_off(t.waveform, t.sample_rate_hz) for s, t in zip(silent, turns, strict=True)]
        return {"silent": [float(s) for s in silent], "cut_off": [float(c) for c in cut_off]}


def is_silent(waveform: np.ndarray) -> bool:
    """True when no sample passes -60 dB of full scale."""
    return bool(np.max(np.abs(waveform), initial=0.0) < 10 ** (SILENT_DB / 20))


def is_cut_off(waveform: np.ndarray, sample_rate_hz: int) -> bool:
    """True when the end is nearly as loud as the loudest frame."""
    power_db = frame_power_db(waveform[::-1], sample_rate_hz)  # frames are counted from the end, so that none is lost
    return bool(power_db[: round(END_S / FRAME_S)].max() > power_db.max() - CUT_OFF_DB)


def load(pack: LanguagePack, threads: int = 1) -> Truncation:
    """The metric; levels have no language and take no threads."""
    return Truncation()
