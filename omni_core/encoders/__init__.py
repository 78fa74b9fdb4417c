"""Encoders: waveform -> features at a stated rate. A file here is an encoder; its name is the name in settings.

What an encoder is:

    sample_rate_hz, frame_rate_hz, width
    encode  list of waveforms (samples,) -> list of features (frames, width), float32
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Encoder(Protocol):
    """The role."""

    sample_rate_hz: int
    frame_rate_hz: float
    width: int

    def encode(self, waveforms: list[Tensor]) -> list[Tensor]: ...
