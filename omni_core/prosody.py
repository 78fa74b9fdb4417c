"""A waveform and phoneme durations enter; log pitch and log energy of every phoneme leave.

Pitch is the highest peak of the autocorrelation of a Hann-windowed frame divided by that of the window (Boersma 1993,
section 2). torchaudio.functional.detect_pitch_frequency gives the same curve at 18 times real time on one core, this
at several hundred, and two thousand answers have to pass in seconds.
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor

from omni_core.alignment import STRIDE
from omni_core.mel import HOP, SAMPLE_RATE_HZ

PITCH_RATE_HZ = SAMPLE_RATE_HZ // 2
PITCH_HOP = HOP * STRIDE // 2
PITCH_WINDOW = 512
MIN_F0_HZ, MAX_F0_HZ = 60.0, 450.0
VOICED_STRENGTH = 0.5
OCTAVE_COST = 0.05
"""A period's double correlates as well as the period; every octave down costs this much (Boersma 1993, section 3)."""
SILENCE = 1e-4


def frame_prosody(waveform: Tensor) -> tuple[Tensor, Tensor]:
    """(samples,) at 22 050 Hz -> log f0 (frames,), 0 where unvoiced, and log RMS (frames,), 43 frames a second."""
    low = torchaudio.functional.resample(waveform, SAMPLE_RATE_HZ, PITCH_RATE_HZ)
    padded = torch.nn.functional.pad(low, (PITCH_WINDOW // 2, PITCH_WINDOW // 2))
    window = torch.hann_window(PITCH_WINDOW)
    frames = padded.unfold(0, PITCH_WINDOW, PITCH_HOP)[: len(low) // PITCH_HOP]
    frames = (frames - frames.mean(1, keepdim=True)) * window
    correlation = _autocorrelation(frames) / _autocorrelation(window[None]).clamp(min=1e-3)
    energy = correlation[:, :1].clamp(min=SILENCE**2)
    shortest, longest = int(PITCH_RATE_HZ / MAX_F0_HZ), int(PITCH_RATE_HZ / MIN_F0_HZ)
    strengths = correlation[:, shortest:longest] / energy
    octaves = torch.log2(torch.arange(shortest, longest) / shortest)
    lag = (strengths - OCTAVE_COST * octaves).argmax(1)
    strength = strengths.gather(1, lag[:, None])[:, 0]
    log_f0 = torch.log(PITCH_RATE_HZ / (lag + shortest))
    return torch.where(strength > VOICED_STRENGTH, log_f0, 0.0), energy[:, 0].log() / 2


def _autocorrelation(frames: Tensor) -> Tensor:
    """(frames, window) -> (frames, window // 2), mean product at each lag."""
    spectrum = torch.fft.rfft(frames, 2 * frames.shape[1])
    return torch.fft.irfft(spectrum.abs().square())[:, : frames.shape[1] // 2] / frames.shape[1]


def phoneme_means(values: Tensor, durations: Tensor, only_nonzero: bool = False) -> Tensor:
    """Mean of (frames,) over each phoneme's frames -> (phonemes,); 0 where nothing was counted."""
    owner = torch.repeat_interleave(torch.arange(len(durations)), durations)[: len(values)]
    values = values[: len(owner)]
    counted = (values != 0).float() if only_nonzero else torch.ones_like(values)
    sums = torch.zeros(len(durations)).index_add_(0, owner, values * counted)
    counts = torch.zeros(len(durations)).index_add_(0, owner, counted)
    return sums / counts.clamp(min=1)
