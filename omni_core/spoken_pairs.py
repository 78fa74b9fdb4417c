"""An answer and the teacher's recording of the same words enter; both leave on one clock, frame beside frame, with pitch and timbre.

    own      |. T a k e . a n . u m b r e l l a|        pairs (own frame, teacher frame) on the cheapest path:
    teacher  |T a a k e a n u m b r e l l a a .|        (0,0) (1,0) (2,1) (2,2) ...

Frames of 10 ms of 16 kHz, silence at both ends cut off. Pitch is WORLD's DIO with StoneMask, the envelope its CheapTrick
(Morise et al. 2016, "WORLD"; package pyworld-prebuilt). Not the pitch of omni_core/prosody.py: what trained the head
shall not judge it. The path is dynamic time warping over cepstral distance (Sakoe and Chiba 1978; package dtaidistance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omni_core.audio import resample
from omni_core.measures import FRAME_S, SILENCE_UNDER_PEAK_DB, frame_power_db
from omni_core.metrics import AnsweredTurn

SAMPLE_RATE_HZ = 16_000
HOP_MS = 10.0
MIN_F0_HZ, MAX_F0_HZ = 60.0, 500.0
COEFFICIENTS = 24
MEL_BINS = 80
SHORTEST_S = 0.1
AUDIBLE = 1e-3  # -60 dB of full scale, as in metrics/truncation.py


@dataclass(frozen=True)
class SpokenPair:
    """Frames that belong together, (pairs,) each row a pair; durations are of the speech without silence at its ends."""

    own_f0_hz: np.ndarray
    """(pairs,), 0 where unvoiced."""
    teacher_f0_hz: np.ndarray
    cepstral_distance: np.ndarray
    """(pairs,), Euclidean, of coefficients 1..24 of the natural log magnitude over the mel axis."""
    own_s: float
    teacher_s: float


@dataclass(frozen=True)
class Voice:
    """(frames,) pitch in Hz, 0 where unvoiced, and (frames, 24) mel cepstrum."""

    f0_hz: np.ndarray
    cepstrum: np.ndarray


def same_words(turn: AnsweredTurn, words: Callable[[str], list[str]]) -> bool:
    """True when the model wrote the words that the teacher recorded; other answers cannot be laid beside it."""
    own = words(turn.spoken_text)
    return bool(own) and own == words(turn.reference_text)


def pairs_of_same_words(turn: AnsweredTurn, words: Callable[[str], list[str]]) -> SpokenPair | None:
    """The turn's pair, or None when the words differ or a side is silent."""
    return turn.beside_teacher if same_words(turn, words) else None


def side_by_side(own: np.ndarray, own_rate_hz: int, teacher: np.ndarray, teacher_rate_hz: int) -> SpokenPair | None:
    """Two waveforms (samples,) of the same words -> their frames in pairs; None when either holds no speech."""
    first, second = speech_of(own, own_rate_hz), speech_of(teacher, teacher_rate_hz)
    if min(len(first), len(second)) < SHORTEST_S * SAMPLE_RATE_HZ:
        return None
    mine, theirs = analyse(first), analyse(second)
    path = cheapest_path(mine.cepstrum, theirs.cepstrum)
    distance = np.linalg.norm(mine.cepstrum[path[:, 0]] - theirs.cepstrum[path[:, 1]], axis=1)
    return SpokenPair(mine.f0_hz[path[:, 0]], theirs.f0_hz[path[:, 1]], distance,
                      len(first) / SAMPLE_RATE_HZ, len(second) / SAMPLE_RATE_HZ)  # fmt: skip


def cheapest_path(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(frames, width) each -> (pairs, 2), both indices from first to last frame, the sum of Euclidean distances least.

    Of dtaidistance 2.5.1, `warping_paths` and `best_path`: its shorter `warping_path(use_c=True)` does not heed inner_dist.
    """
    from dtaidistance import dtw, dtw_ndim

    _, costs = dtw_ndim.warping_paths(first, second, use_c=True, inner_dist="euclidean")
    return np.array(dtw.best_path(costs))


def speech_of(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """(samples,) at any rate -> float64 at 16 kHz from the first to the last frame within 40 dB of the loudest."""
    samples = resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ)
    if np.max(np.abs(samples), initial=0.0) < AUDIBLE:
        return np.zeros(0)
    power_db = frame_power_db(samples, SAMPLE_RATE_HZ)
    (loud,) = np.nonzero(power_db > power_db.max() - SILENCE_UNDER_PEAK_DB)
    frame = round(FRAME_S * SAMPLE_RATE_HZ)
    return samples[loud[0] * frame : (loud[-1] + 1) * frame].astype(np.float64)


def analyse(samples: np.ndarray) -> Voice:
    """(samples,) float64 at 16 kHz -> pitch and timbre every 10 ms."""
    import pyworld

    rough, times = pyworld.dio(samples, SAMPLE_RATE_HZ, MIN_F0_HZ, MAX_F0_HZ, frame_period=HOP_MS)
    f0_hz = pyworld.stonemask(samples, rough, times, SAMPLE_RATE_HZ)
    power = pyworld.cheaptrick(samples, f0_hz, times, SAMPLE_RATE_HZ)
    return Voice(f0_hz, mel_cepstrum(power))


def mel_cepstrum(power: np.ndarray) -> np.ndarray:
    """Power envelope (frames, bins) to 8 kHz -> coefficients 1..24 (frames, 24).

    log |H| = c_0 + sum_k c_k cos(k w) over the mel axis w in 0..pi; c_0, the loudness, is left out.
    """
    from scipy.fft import dct

    highest = _mel(SAMPLE_RATE_HZ / 2)
    at_hz = _hertz((np.arange(MEL_BINS) + 0.5) / MEL_BINS * highest)
    bins = at_hz / (SAMPLE_RATE_HZ / 2) * (power.shape[1] - 1)
    below = np.floor(bins).astype(int)
    log_magnitude = 0.5 * np.log(np.maximum(power, 1e-16))
    share = bins - below
    warped = log_magnitude[:, below] * (1 - share) + log_magnitude[:, below + 1] * share
    return np.ascontiguousarray(dct(warped, type=2, axis=1)[:, 1 : COEFFICIENTS + 1] / MEL_BINS)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    """O'Shaughnessy 1987."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
