"""A waveform enters, log-mel frames leave, in the convention that HiFi-GAN's public generators were trained on.

22 050 Hz, window 1024, hop 256 (86.13 frames a second), 80 mel bands up to 8 kHz, natural log of the magnitude,
floor 1e-5 (HiFi-GAN, Kong et al. 2020, section 3; the reference pads by (window - hop) / 2 and does not centre).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

SAMPLE_RATE_HZ = 22_050
WINDOW = 1024
HOP = 256
NUM_MELS = 80
MAX_HZ = 8_000
FLOOR = 1e-5
FRAME_RATE_HZ = SAMPLE_RATE_HZ / HOP


@lru_cache(maxsize=1)
def _spectrogram() -> torchaudio.transforms.MelSpectrogram:
    return torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE_HZ,
        n_fft=WINDOW,
        hop_length=HOP,
        f_min=0,
        f_max=MAX_HZ,
        n_mels=NUM_MELS,
        power=1.0,
        center=False,
        norm="slaney",
        mel_scale="slaney",
    )


def log_mel(waveform: Tensor) -> Tensor:
    """(..., samples) at 22 050 Hz in [-1, 1] -> (..., 80, samples // 256), natural log."""
    pad = (WINDOW - HOP) // 2
    if waveform.shape[-1] < WINDOW:  # reflect padding needs more samples than it adds
        waveform = F.pad(waveform, (0, WINDOW - waveform.shape[-1]))
    lead = waveform.shape[:-1]
    padded = F.pad(waveform.reshape(1, -1, waveform.shape[-1]), (pad, pad), mode="reflect")[0]
    mel = _spectrogram()(padded)
    return torch.log(mel.clamp(min=FLOOR)).reshape(*lead, *mel.shape[-2:])
