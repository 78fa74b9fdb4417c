"""log_mel: no weights at all; 16 kHz speech enters, 80 log-mel bands at 100 Hz leave. For tests and from-scratch adapters."""

from __future__ import annotations

from pathlib import Path

import torch
import torchaudio
from torch import Tensor

from data_contracts.components import EncoderSettings

HOP = 160


class LogMel:
    """Mean and variance of each utterance are normalised, so that loudness does not matter."""

    sample_rate_hz = 16_000
    frame_rate_hz = sample_rate_hz / HOP
    width = 80

    def __init__(self) -> None:
        self.transform = torchaudio.transforms.MelSpectrogram(
            self.sample_rate_hz, n_fft=400, hop_length=HOP, n_mels=self.width
        )

    def encode(self, waveforms: list[Tensor]) -> list[Tensor]:
        """List of (samples,) -> list of (samples // 160 + 1, 80) float32."""
        mels = [torch.log(self.transform(w).clamp(min=1e-6)).T for w in waveforms]
        return [(mel - mel.mean()) / mel.std().clamp(min=1e-3) for mel in mels]


def load(settings: EncoderSettings, home: Path) -> LogMel:
    """Nothing to load."""
    return LogMel()
