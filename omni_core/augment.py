"""A clean synthesized waveform enters, one more varied leaves: other pace, pitch, noise and room.

Questions are heard from many people in many rooms, the teacher is one voice in none. A `Variation` is drawn from
VoiceSettings by a generator that is handed in, so a record's sound depends on its seed alone.

    text -> voice(speed / pitch) -> resample by pitch -> room -> noise -> question
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_contracts.ingest import VoiceSettings
from omni_core.audio import resample
from omni_core.teacher import Voice

QUESTION_RATE_HZ = 16_000  # what speech encoders hear (Whisper, Radford et al. 2023, section 2.2)
PITCH_DECIMALS = 2  # keeps the resampler's fraction, so its kernel, small
FASTEST = 1.25  # asked for 1.4, hibari swallows sounds: Whisper base hears "meet the garden" for "make the garden"
LOUDEST = 0.98  # peak after mixing: augmentation must not clip


@dataclass(frozen=True)
class Variation:
    """How one question differs from the plain voice. Factors are 1 for no change; `room` adds reverberation."""

    speed: float
    pitch: float
    noise_snr_db: float
    room: bool


def draw_variation(settings: VoiceSettings, random: np.random.Generator) -> Variation:
    """Draw pace, pitch, noise level and room uniformly from the ranges of the settings."""
    speed = random.uniform(*settings.question_speed_range)
    pitch = round(random.uniform(*settings.question_pitch_range), PITCH_DECIMALS)
    snr_db = random.uniform(*settings.question_noise_snr_db)
    return Variation(speed, pitch, snr_db, bool(random.random() < settings.question_room_fraction))


def speak_varied(voice: Voice, text: str, variation: Variation, random: np.random.Generator) -> np.ndarray:
    """The question (samples,) at QUESTION_RATE_HZ, at about the pace `speed` whatever the pitch."""
    # Raising the pitch by resampling also shortens; the voice speaks slower by the same factor. hibari's durations
    # are whole frames and follow `speed` in steps, so this evens out the larger part, not all.
    speed = min(variation.speed / variation.pitch, FASTEST)
    plain = voice.speak(text, speed=speed, seed=int(random.integers(2**31)))
    waveform = shift_pitch(plain, voice.sample_rate_hz, variation.pitch, QUESTION_RATE_HZ)
    if variation.room:
        waveform = add_room(waveform, QUESTION_RATE_HZ, random)
    return limit_peak(add_noise(waveform, variation.noise_snr_db, random))


def shift_pitch(waveform: np.ndarray, from_hz: int, factor: float, to_hz: int) -> np.ndarray:
    """Play `factor` times as fast and resample to `to_hz`: pitch and formants move together, the duration shrinks."""
    return resample(waveform, round(from_hz * factor), to_hz)


def add_noise(waveform: np.ndarray, snr_db: float, random: np.random.Generator) -> np.ndarray:
    """Add noise between white and pink (slope drawn) `snr_db` under the waveform's mean power."""
    if not np.any(waveform):
        return waveform
    spectrum = np.fft.rfft(random.standard_normal(_power_of_two(len(waveform))))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** random.uniform(0.0, 0.5)
    noise = np.fft.irfft(spectrum)[: len(waveform)]
    gain = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return (waveform + gain * noise).astype(np.float32)


def _power_of_two(length: int) -> int:
    """The next power of two: a Fourier transform of any other length can take ten times as long."""
    return 1 << max(1, (length - 1).bit_length())


def room_impulse_response(sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """A direct path and an exponentially decaying noise tail (Polack's model), (samples,), direct path 1.

    Reverberation time (60 dB) 0.15 to 0.5 s, direct-to-reverberant energy 3 to 12 dB: a furnished room.
    """
    decay_s, direct_db = random.uniform(0.15, 0.5), random.uniform(3.0, 12.0)
    seconds = np.arange(1, int(decay_s * sample_rate_hz)) / sample_rate_hz
    tail = random.standard_normal(len(seconds)) * 10 ** (-3 * seconds / decay_s)
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    return np.concatenate([[1.0], tail])


def add_room(waveform: np.ndarray, sample_rate_hz: int, random: np.random.Generator) -> np.ndarray:
    """Convolve with a synthetic room; the length stays, the last of the tail is cut."""
    response = room_impulse_response(sample_rate_hz, random)
    padded = _power_of_two(len(waveform) + len(response) - 1)
    wet = np.fft.irfft(np.fft.rfft(waveform, padded) * np.fft.rfft(response, padded), padded)
    return wet[: len(waveform)].astype(np.float32)


def limit_peak(waveform: np.ndarray) -> np.ndarray:
    """Scale down a waveform whose peak passes LOUDEST; others are returned as they are."""
    peak = float(np.max(np.abs(waveform), initial=0.0))
    return waveform if peak <= LOUDEST else (waveform * (LOUDEST / peak)).astype(np.float32)
