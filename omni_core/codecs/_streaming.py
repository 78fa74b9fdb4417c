"""Codes enter chunk by chunk, the samples that can no longer change leave: what comes out is the whole decoding, cut.

open_stream(codec).push(codes, last) -> samples

OverlapStream       every codec: decodes a chunk with `look_ahead_frames` on both sides
CausalConvolutions  codecs that only look back (EnCodec, Mimi): each convolution keeps the inputs it will look back on
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from omni_core.codecs import Codec


class DecodingStream(Protocol):
    """One recording, decoded while its codes are still being written."""

    def push(self, codes: Tensor, last: bool = False) -> Tensor:
        """(batch, num_codebooks, any number of frames) -> the samples (batch, any number) that are now final."""
        ...


def open_stream(codec: Codec) -> DecodingStream:
    """A stream for one recording: the codec's own where it keeps a state, else overlapping chunks."""
    if hasattr(codec, "stream"):
        return codec.stream()
    return OverlapStream(lambda codes, first_frame: codec.decode(codes), codec.look_ahead_frames)


class OverlapStream:
    """Decodes every chunk with what lies around it, and keeps only the chunk.

    codes kept   |-- look-ahead --|===== new =====|-- look-ahead --|
    samples out                   |===============|
    """

    def __init__(self, decode: Callable[[Tensor, int], Tensor], look_ahead_frames: int):
        self.decode, self.look_ahead_frames = decode, look_ahead_frames
        self.codes: Tensor | None = None
        self.first = self.done = 0
        """Frame at which the kept codes begin; frames whose samples are out."""

    def push(self, codes: Tensor, last: bool = False) -> Tensor:
        """See DecodingStream."""
        kept = self.codes = codes if self.codes is None else torch.cat([self.codes, codes], 2)
        end = self.first + kept.shape[2] - (0 if last else self.look_ahead_frames)
        if end <= self.done:
            return torch.zeros(len(codes), 0)
        waveform = self.decode(kept, self.first)
        samples = waveform.shape[1] // kept.shape[2]
        new = waveform[:, (self.done - self.first) * samples : (end - self.first) * samples]
        start = max(0, end - self.look_ahead_frames)
        self.codes = kept[:, :, start - self.first :]
        self.first, self.done = start, end
        return new


class CausalConvolutions:
    """Layers of a SEANet decoder (EnCodec's and Mimi's in transformers), run chunk by chunk.

    A convolution sees its last inputs again in front of the next chunk; before the first it sees the padding that it
    would put before a whole recording. Nothing is computed twice.
    """

    def __init__(self) -> None:
        self.past: dict[nn.Module, Any] = {}

    def __call__(self, layer: Any, x: Tensor) -> Tensor:
        """(batch, channels, steps) -> the layer's output for these steps."""
        if hasattr(layer, "block"):
            return self(layer.shortcut, x) + self.through(layer.block, x)
        if hasattr(layer, "lstm"):
            out, self.past[layer] = layer.lstm(x.permute(2, 0, 1), self.past.get(layer))
            return out.permute(1, 2, 0) + x
        if hasattr(layer, "conv"):
            return self._transposed(layer, x) if hasattr(layer, "trim_right_ratio") else self._plain(layer, x)
        return layer(x)

    def through(self, layers: Any, x: Tensor) -> Tensor:
        """One layer after the other."""
        for layer in layers:
            x = self(layer, x)
        return x

    def _plain(self, layer: Any, x: Tensor) -> Tensor:
        length = int(layer.padding_total)
        past = self.past.get(layer)
        if past is None:
            past = layer._pad1d(x, (length, 0), layer.pad_mode)[..., :length]
        joined = torch.cat([past, x], -1)
        self.past[layer] = joined[..., joined.shape[-1] - length :]
        return layer.conv(joined)

    def _transposed(self, layer: Any, x: Tensor) -> Tensor:
        """Kernel of two strides: an output step depends on its own input step and on the one before, at first on none."""
        past = self.past.get(layer, torch.zeros_like(x[..., :1]))
        self.past[layer] = x[..., -1:]
        return layer(torch.cat([past, x], -1))[..., layer.conv.stride[0] :]
