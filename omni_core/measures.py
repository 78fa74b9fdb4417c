"""A waveform and its text enter, numbers about its quality leave; ingest judges records by them.

25 ms frames, power in dB. A quiet studio file has an SNR of 60 dB and more, a telephone in the street 10 dB.
"""

from __future__ import annotations

import numpy as np

FRAME_S = 0.025
FULL_SCALE = 0.999  # 16-bit full scale and the last steps under it
SILENCE_UNDER_PEAK_DB = 40.0
FLOOR_DB = -100.0  # under the 16-bit rounding noise (-98 dB)
HIGHEST_SNR_DB = 100.0


def frame_power_db(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Mean power of 25 ms frames in dB of full scale, (frames,), at least one, floored at -100 dB."""
    length = max(1, round(FRAME_S * sample_rate_hz))
    whole = waveform[: len(waveform) // length * length] if len(waveform) >= length else np.resize(waveform, length)
    power = np.mean(np.square(whole.reshape(-1, length), dtype=np.float64), axis=1)
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))


def clipped_fraction(waveform: np.ndarray) -> float:
    """Share of samples at full scale, 0..1."""
    return float(np.mean(np.abs(waveform) >= FULL_SCALE)) if len(waveform) else 0.0


def silence_fraction(power_db: np.ndarray) -> float:
    """Share of frames more than 40 dB under the loudest one, 0..1; all of them when nothing sounds at all."""
    if power_db.max() <= FLOOR_DB:
        return 1.0
    return float(np.mean(power_db < power_db.max() - SILENCE_UNDER_PEAK_DB))


def snr_db(power_db: np.ndarray) -> float:
    """Signal-to-noise ratio estimated from frame powers, in dB, between -20 and 100.

    Noise is the 5th percentile of frame power, as the pauses hold nothing else (NIST's STNR reads both from the
    histogram of frame powers); speech is the mean power with that noise taken off. Within 2 dB of the truth on the
    teacher voice with added noise; speech without any pause is underestimated.
    """
    noise = 10 ** (np.percentile(power_db, 5) / 10)
    speech = float(np.mean(10 ** (power_db / 10))) - noise
    return float(np.clip(10 * np.log10(max(speech, 1e-12) / noise), -20.0, HIGHEST_SNR_DB))


def words_per_second(text: str, duration_s: float) -> float:
    """Words between spaces a second of audio."""
    return len(text.split()) / max(duration_s, 1e-3)
