"""The one home of geometry: how codes of several codebooks become the streams that a decoder reads, and back.

Stream k is delayed by delays[k] steps, so that at one step the decoder has seen the coarser codes of the same frame
(MusicGen, Copet et al. 2023, section 2.2, "delay"; Mini-Omni, Xie and Wu 2024, section 3.2). Three codebooks,
four frames, delays 0 1 2:

    step      0  1  2  3  4  5
    stream 0  a0 a1 a2 a3 .  .        . is pad (id codebook_size)
    stream 1  .  b0 b1 b2 b3 .
    stream 2  .  .  c0 c1 c2 c3

ParallelLayout is Mini-Omni's: the audio streams and the text stream share one vocabulary. flatten_rates and
split_rates turn codebooks of several rates (SNAC) into streams of one rate and back.
"""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True)
class ParallelLayout(TokenLayout):
    """Mini-Omni's streams: one a code of a frame, and text beside them, all in one vocabulary of token ids.

        0 ..            text_codes       text_vocabulary_size     + vocabulary_size       ...       total_size
        | text          | text specials  | stream 0: codes, specials | stream 1: codes, specials | ...

    An id within its stream (a code, or pad, end, ...) becomes a token by adding its stream's offset. Streams start
    delayed by one step, for the text leads (Xie and Wu 2024, section 3.2). Each stream's pad is beside its end:

        step      0  1  2  3  4  5
        text      w0 w1 E  .  .  .        . is that stream's pad, E its end
        stream 0  .  a0 a1 a2 E  .
        stream 1  .  .  b0 b1 b2 E
    """

    text_codes: int
    """Ids of the tokenizer, its own padding included: the first text special follows them."""
    num_specials: int = 64
    """Ids kept for specials after the text and after the codes of each stream; few are used."""

    @property
    def pad(self) -> int:
        """Id, within an audio stream, of "no code here"."""
        return self.codebook_size + 1

    @property
    def vocabulary_size(self) -> int:
        """Ids of one audio stream: codes and specials."""
        return self.codebook_size + self.num_specials

    @property
    def end(self) -> int:
        """Id, within an audio stream, of the end of its codes."""
        return self.codebook_size

    @property
    def input(self) -> int:
        """Id, within an audio stream, that opens a spoken question."""
        return self.codebook_size + 2

    @property
    def answer(self) -> int:
        """Id, within an audio stream, that asks for a spoken answer."""
        return self.codebook_size + 3

    @property
    def split(self) -> int:
        """Id, within an audio stream, that the released models reserve and do not use."""
        return self.codebook_size + 4

    @property
    def image_input(self) -> int:
        """Id, within an audio stream, that opens an image (Mini-Omni2)."""
        return self.codebook_size + 5

    @property
    def image_end(self) -> int:
        """Id, within an audio stream, that closes an image (Mini-Omni2)."""
        return self.codebook_size + 6

    @property
    def text_end(self) -> int:
        """Token that ends a text."""
        return self.text_codes

    @property
    def text_pad(self) -> int:
        """Token of the text stream where it has nothing to say."""
        return self.text_codes + 1

    @property
    def text_input(self) -> int:
        """Token of the text stream that opens a question."""
        return self.text_codes + 2

    @property
    def text_answer(self) -> int:
        """Token of the text stream that asks for an answer."""
        return self.text_codes + 3

    @property
    def text_recognition(self) -> int:
        """Token of the text stream that asks for a transcript."""
        return self.text_codes + 4

    @property
    def text_vocabulary_size(self) -> int:
        """Tokens of the text stream."""
        return self.text_codes + self.num_specials

    @property
    def audio_size(self) -> int:
        """Tokens of all audio streams."""
        return self.num_streams * self.vocabulary_size

    @property
    def total_size(self) -> int:
        """Tokens of all streams."""
        return self.text_vocabulary_size + self.audio_size

    @property
    def offsets(self) -> Tensor:
        """(num_streams, 1): what turns ids within audio streams into tokens."""
        return self.text_vocabulary_size + self.vocabulary_size * torch.arange(self.num_streams)[:, None]

    def tokens(self, ids: Tensor) -> Tensor:
        """Ids within audio streams (..., num_streams, steps) -> tokens of the shared vocabulary."""
        return ids + self.offsets.to(ids.device)

    def ids(self, tokens: Tensor) -> Tensor:
        """Inverse of tokens."""
        return tokens - self.offsets.to(tokens.device)

    def delay_to_end(self, codes: Tensor) -> Tensor:
        """Like delay, and every stream ends: (batch, num_streams, frames) -> (..., frames + max_delay + 1)."""
        return self.delay(torch.cat([codes, torch.full_like(codes[:, :, :1], self.end)], 2))


MINI_OMNI = ParallelLayout(
    num_streams=7, codebook_size=4096, delays=(1, 2, 3, 4, 5, 6, 7), text_codes=151_936, num_specials=64
)
"""Of the released checkpoints: Qwen2's padded text vocabulary, SNAC 24 kHz."""


SNAC_STRIDES = (4, 2, 1)
"""Of SNAC 24 kHz: fine time steps that one code of each level covers. 32 and 44.1 kHz have (8, 4, 2, 1)."""


def rate_order(strides: Sequence[int]) -> list[tuple[int, int]]:
    """(level, place in the frame) of each stream: by start in time, the coarser first.

    A code stands before those that refine it; strides (4, 2, 1) make Mini-Omni's seven streams:

        level 0             t0
        level 1      t1            t4
        level 2    t2  t3        t5  t6
    """
    places = [(level, place) for level, stride in enumerate(strides) for place in range(strides[0] // stride)]
    return sorted(places, key=lambda at: (at[1] * strides[at[0]], at[0]))


def flatten_rates(levels: Sequence[Tensor], strides: Sequence[int] = SNAC_STRIDES) -> Tensor:
    """Levels (batch, frames * places) of several rates -> codes (batch, streams, frames) in rate_order."""
    return torch.stack(
        [levels[level][:, place :: strides[0] // strides[level]] for level, place in rate_order(strides)], dim=1
    )


def split_rates(codes: Tensor, strides: Sequence[int] = SNAC_STRIDES) -> list[Tensor]:
    """Inverse of flatten_rates."""
    order = rate_order(strides)
    rows = [[index for index, (level, _) in enumerate(order) if level == wanted] for wanted in range(len(strides))]
    return [codes[:, of_level].transpose(1, 2).flatten(1) for of_level in rows]
