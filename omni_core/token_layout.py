"""The one home of geometry: how codes of several codebooks become the streams that a decoder reads, and back.

Stream k is delayed by delays[k] steps, so that at one step the decoder has seen the coarser codes of the same frame
(MusicGen, Copet et al. 2023, section 2.2, "delay"; Mini-Omni, Xie and Wu 2024, section 3.2). Three codebooks,
four frames, delays 0 1 2:

    step      0  1  2  3  4  5
    stream 0  a0 a1 a2 a3 .  .        . is pad (id codebook_size)
    stream 1  .  b0 b1 b2 b3 .
    stream 2  .  .  c0 c1 c2 c3
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenLayout:
    """Streams, their vocabulary and delays."""

    num_streams: int
    codebook_size: int
    delays: tuple[int, ...]

    @classmethod
    def delayed(cls, num_streams: int, codebook_size: int) -> TokenLayout:
        """One step of delay from stream to stream."""
        return cls(num_streams, codebook_size, tuple(range(num_streams)))

    @property
    def pad(self) -> int:
        """Id of "no code here", the first after the codes."""
        return self.codebook_size

    @property
    def vocabulary_size(self) -> int:
        """Ids of one stream: the codes and pad."""
        return self.codebook_size + 1

    @property
    def max_delay(self) -> int:
        """Steps between the first and the last code of one frame."""
        return max(self.delays)

    def steps(self, frames: int) -> int:
        """Steps that `frames` frames take."""
        return frames + self.max_delay

    def delay(self, codes: Tensor) -> Tensor:
        """Codes (batch, num_streams, frames) -> streams (batch, num_streams, frames + max_delay)."""
        batch, _, frames = codes.shape
        streams = torch.full((batch, self.num_streams, self.steps(frames)), self.pad, dtype=torch.long)
        for stream, delay in enumerate(self.delays):
            streams[:, stream, delay : delay + frames] = codes[:, stream]
        return streams

    def undelay(self, streams: Tensor) -> Tensor:
        """Inverse of delay: streams (batch, num_streams, steps) -> codes (batch, num_streams, steps - max_delay)."""
        frames = streams.shape[2] - self.max_delay
        return torch.stack([streams[:, k, delay : delay + frames] for k, delay in enumerate(self.delays)], 1)
