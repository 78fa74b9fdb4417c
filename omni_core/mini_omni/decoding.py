"""A prompt enters, the answer leaves step by step: ids within each audio stream, and a text token.

    step        0       1       2      3      4    ...      stream k is k + 1 steps late: frame f of all
    stream 0    .       f0      f1     f2     f3            seven is whole after step f + 7
    stream 6    .       .       .      .      .
    text        w0      w1      end    pad    pad

Audio ends when the last stream emits its end (that step is not part of the answer), an answer in text alone when the text
does. The step that the prompt itself gives is not tested for an end, as in Mini-Omni's public code.

That code also feeds back whatever was picked where a stream has nothing to say, before its delay is over (. above) and
after its end. The released model is used to it; the recipe (omni_core/mini_omni/recipe.py) shows a model pad there, so
what it trained is decoded with pads_forced. Without, a turn learned by heart is not even repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from data_contracts.errors import ComponentError
from omni_core.mini_omni.prompts import Prompt
from omni_core.speech_heads.parallel import Caches, StreamLogits
from omni_core.token_layout import ParallelLayout


class Head(Protocol):
    """What is stepped: omni_core.speech_heads.parallel.ParallelHead, or its served form (served.py)."""

    layout: ParallelLayout

    @property
    def context_steps(self) -> int: ...

    def start(self, rows: int) -> Caches: ...

    def __call__(
        self,
        tokens: Tensor,
        features: Tensor | None = None,
        frame_counts: Tensor | None = None,
        caches: Caches | None = None,
        with_audio: bool = True,
        last_only: bool = False,
    ) -> StreamLogits: ...


Pick = Callable[[Tensor], Tensor]
"""Logits (..., ids) -> an id each (...)."""


def greedy(logits: Tensor) -> Tensor:
    """The likeliest id; the only choice of the released models (top-k 1)."""
    return logits.argmax(-1)


@torch.no_grad()
def answer_steps(
    head: Head,
    prompt: Prompt,
    features: Tensor | None = None,
    max_steps: int | None = None,
    pick: Pick = greedy,
    pads_forced: bool = False,
) -> Iterator[Tensor]:
    """Yields (num_streams + 1,) a step, text last; in modes without speech (1,), text alone.

    features (1, frames, encoder_width) for modes that hear. At most max_steps, and what the context holds. Caches
    live as long as the iterator: a stream that is dropped leaves nothing behind. pads_forced: see the module.
    """
    layout, tokens = head.layout, prompt.tokens
    rows, _, prompt_steps = tokens.shape
    if prompt_steps >= head.context_steps:
        raise ComponentError(
            f"the question takes {prompt_steps} steps of a context of {head.context_steps}; shorten the question"
        )
    if prompt.mode.hears:
        features, counts = _features_of_rows(features, rows, prompt_steps)
    else:
        features, counts = None, None
    caches, text_ended = head.start(rows), False
    silent_from = torch.full((layout.num_streams,), head.context_steps)
    room = head.context_steps - prompt_steps
    speaks, position = prompt.mode.speaks, 0
    while position < min(room, max_steps or room):
        logits = head(tokens, features, counts, caches, with_audio=speaks, last_only=True)
        audio, text = _picked(logits, layout, pick)
        if pads_forced:
            silent = (torch.tensor(layout.delays) > position) | (silent_from < position)
            audio = torch.where(silent, layout.pad, audio)
            silent_from[audio == layout.end] = position
        if position:
            text = layout.text_pad if text_ended else text
            text_ended = text_ended or text == layout.text_end
            if (int(audio[-1]) == layout.end) if speaks else text_ended:
                return
        yield torch.cat([audio, torch.tensor([text])]) if speaks else torch.tensor([text])
        tokens, features, counts = _next_tokens(audio, text, rows, layout), None, None
        position += 1


def _features_of_rows(features: Tensor | None, rows: int, prompt_steps: int) -> tuple[Tensor, Tensor]:
    """Every row hears the same, over all steps but the three that frame it."""
    frames = prompt_steps - 3
    if features is None or features.shape[1] < frames:
        given = 0 if features is None else features.shape[1]
        raise ComponentError(f"the prompt has room for {frames} speech features and got {given}; encode the question")
    return features[:, :frames].expand(rows, -1, -1), torch.full((rows,), frames)


def _picked(logits: StreamLogits, layout: ParallelLayout, pick: Pick) -> tuple[Tensor, int]:
    """Audio ids of the first row (pad where the answer is text alone) and the text token of the last."""
    text = int(pick(logits.text[-1, -1]))
    if logits.audio is None:
        return torch.full((layout.num_streams,), layout.pad), text
    return pick(logits.audio[0, :, -1]).cpu(), text


def _next_tokens(audio: Tensor, text: int, rows: int, layout: ParallelLayout) -> Tensor:
    """What the next step reads: the first row its audio, others pad, every row the text."""
    ids = torch.full((rows, layout.num_streams, 1), layout.pad)
    ids[0, :, 0] = audio
    return torch.cat([layout.tokens(ids), torch.full((rows, 1, 1), text)], 1)


def answer(
    head: Head,
    prompt: Prompt,
    features: Tensor | None = None,
    max_steps: int | None = None,
    pick: Pick = greedy,
    pads_forced: bool = False,
) -> Tensor:
    """All of answer_steps: (num_streams + 1, steps), or (1, steps) in modes without speech."""
    return torch.stack(list(answer_steps(head, prompt, features, max_steps, pick, pads_forced)), 1)


def frames(steps: Iterable[Tensor], layout: ParallelLayout) -> Iterator[Tensor]:
    """Steps of a spoken answer -> codes (num_streams,) a frame, each as soon as it is whole.

    An id that is no code (a special in the midst of speech) is replaced by the stream's last code, or 0: a codec has
    no entry for it.
    """
    recent: list[Tensor] = []
    last = torch.zeros(layout.num_streams, dtype=torch.long)
    for step in steps:
        recent.append(step)
        if len(recent) > layout.max_delay:
            ids = torch.stack([recent[delay][stream] for stream, delay in enumerate(layout.delays)])
            last = torch.where(ids < layout.codebook_size, ids, last)
            recent.pop(0)
            yield last


def written_tokens(text_stream: Tensor, layout: ParallelLayout) -> list[int]:
    """The text stream of an answer -> the tokens of its text, up to the end."""
    tokens = text_stream.tolist()
    return tokens[: tokens.index(layout.text_end)] if layout.text_end in tokens else tokens
