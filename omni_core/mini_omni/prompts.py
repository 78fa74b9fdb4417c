"""A question enters, as a number of speech features or as text tokens; the tokens of every stream that ask for its answer leave.

    mode                            audio streams                text stream
    audio_to_audio                  input, pad x T, end, answer  input, pad x T, end, answer
    audio_to_text                   input, pad x T, end, pad     input, pad x T, end, answer
    recognition                     input, pad x T, end, pad     input, pad x T, end, recognition
    text_to_audio                   pad x (n + 2), answer        input, text, end, answer
    text_to_text                    pad x (n + 3)                input, text, end, answer
    audio_to_audio_parallel         two rows: audio_to_audio, whose audio is taken, and audio_to_text, whose text is

T features take the audio streams' places where the first three have pad (ParallelHead.embed).
Source: Mini-Omni, Xie and Wu 2024, sections 3.2 (batch-parallel decoding) and 3.3, and its public inference code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from omni_core.token_layout import ParallelLayout


class Mode(StrEnum):
    """Speaking directions."""

    AUDIO_TO_AUDIO = "audio_to_audio"
    AUDIO_TO_TEXT = "audio_to_text"
    RECOGNITION = "recognition"
    TEXT_TO_AUDIO = "text_to_audio"
    TEXT_TO_TEXT = "text_to_text"
    AUDIO_TO_AUDIO_PARALLEL = "audio_to_audio_parallel"

    @property
    def hears(self) -> bool:
        """The question is speech."""
        return self not in (Mode.TEXT_TO_AUDIO, Mode.TEXT_TO_TEXT)

    @property
    def speaks(self) -> bool:
        """The answer is speech, and text beside it."""
        return self in (Mode.AUDIO_TO_AUDIO, Mode.TEXT_TO_AUDIO, Mode.AUDIO_TO_AUDIO_PARALLEL)


@dataclass(frozen=True)
class Prompt:
    """tokens (rows, num_streams + 1, steps), text last; rows is 2 for the parallel mode, else 1."""

    mode: Mode
    tokens: Tensor


def heard(mode: Mode, layout: ParallelLayout, frames: int) -> Prompt:
    """Prompt of a spoken question of so many speech features (Mini-Omni: floor(milliseconds / 20) + 1)."""
    if mode is Mode.AUDIO_TO_AUDIO_PARALLEL:
        rows = [heard(row, layout, frames).tokens for row in (Mode.AUDIO_TO_AUDIO, Mode.AUDIO_TO_TEXT)]
        return Prompt(mode, torch.cat(rows))
    last = layout.answer if mode.speaks else layout.pad
    wanted = layout.text_recognition if mode is Mode.RECOGNITION else layout.text_answer
    audio = [layout.input, *[layout.pad] * frames, layout.end, last]
    text = [layout.text_input, *[layout.text_pad] * frames, layout.text_end, wanted]
    return Prompt(mode, _rows(layout, audio, text))


def written(mode: Mode, layout: ParallelLayout, text_tokens: list[int]) -> Prompt:
    """Prompt of a written question."""
    last = layout.answer if mode.speaks else layout.pad
    audio = [*[layout.pad] * (len(text_tokens) + 2), last]
    return Prompt(mode, _rows(layout, audio, [layout.text_input, *text_tokens, layout.text_end, layout.text_answer]))


def _rows(layout: ParallelLayout, audio_ids: list[int], text_tokens: list[int]) -> Tensor:
    """The same ids for every audio stream, shifted to its tokens, over the text: (1, num_streams + 1, steps)."""
    audio = layout.tokens(torch.tensor(audio_ids).expand(layout.num_streams, -1))
    return torch.cat([audio, torch.tensor([text_tokens])])[None]
