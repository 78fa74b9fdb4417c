"""Two clips enter, the same two at one loudness leave: the louder of two equal clips is the one that people prefer.

Loudness is ITU-R BS.1770-4 (K weighting, 400 ms blocks, gated), by pyloudnorm with the coefficients of the
recommendation itself (its "DeMan" filters; those of its default are approximations).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

BLOCK_S = 0.4
"""A gating block; a shorter clip has no loudness of its own."""
HIGHEST_PEAK = 10 ** (-1 / 20)
"""-1 dBFS, so that no player clips."""


@functools.cache
def _meter(sample_rate_hz: int) -> Any:
    import pyloudnorm  # imports scipy.signal: a second

    return pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan", block_size=BLOCK_S)


def loudness_lufs(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Integrated loudness of a mono clip (samples,) in LUFS; -inf for silence. A clip below 0.4 s is repeated until it fills a block."""
    samples = np.asarray(waveform, np.float64)
    if not samples.any():
        return -np.inf
    block = int(np.ceil(BLOCK_S * sample_rate_hz))
    if len(samples) < block:
        samples = np.tile(samples, -(-block // len(samples)))
    return float(_meter(sample_rate_hz).integrated_loudness(samples))


def matched(clips: list[np.ndarray], sample_rate_hz: int, target_lufs: float) -> list[np.ndarray]:
    """Clips (samples,) at `target_lufs`, or all equally below it where a peak would pass -1 dBFS."""
    gains = [10 ** ((target_lufs - loudness_lufs(clip, sample_rate_hz)) / 20) for clip in clips]
    highest = max(gain * float(np.abs(clip).max()) for gain, clip in zip(gains, clips, strict=True))
    room = min(1.0, HIGHEST_PEAK / highest)
    return [np.asarray(clip * (gain * room), np.float32) for gain, clip in zip(gains, clips, strict=True)]


def drowned(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The clip under white noise as strong as itself (0 dB): what nobody who listens prefers, or takes for the clean one."""
    power = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    return (waveform + power * rng.standard_normal(len(waveform))).astype(np.float32)
