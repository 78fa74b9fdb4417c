"""Codecs: waveform <-> codes. A file here is a codec; its name is the name in settings.

What a codec is:

    sample_rate_hz, frame_rate_hz, samples_per_frame, num_codebooks, codebook_size
    encode  (batch, samples)            -> codes (batch, num_codebooks, frames), integers in [0, codebook_size)
    decode  (batch, num_codebooks, frames) -> (batch, frames * samples_per_frame) in [-1, 1]
    code_vectors ()                        -> (num_codebooks, codebook_size, latent width): a frame's latent is the sum of
                                              the vectors of its codes

A codec that is fitted to data also has `fit` and `save`. `load(settings, folder, home)` makes one; of a codec with public
weights the folder may as well be a hub id. Decoding while codes are still being written: _streaming.open_stream(codec).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor


class Codec(Protocol):
    """The role; see the module's picture."""

    sample_rate_hz: int
    frame_rate_hz: float
    samples_per_frame: int
    num_codebooks: int
    codebook_size: int
    look_ahead_frames: int
    """Codec frames after a frame that must be known before its samples are final (open_stream waits for no more)."""

    def encode(self, waveform: Tensor) -> Tensor: ...

    def decode(self, codes: Tensor) -> Tensor: ...

    def code_vectors(self) -> Tensor: ...

    def save(self, folder: Path) -> None: ...
