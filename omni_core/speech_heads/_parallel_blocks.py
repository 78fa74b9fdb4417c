"""Blocks of the parallel head: its adapter, a decoder of transformers without its last norm, and the mean of its streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_contracts.errors import ComponentError

FINAL_NORMS = ("norm", "ln_f", "final_layernorm")
"""What decoders of transformers call their last norm: most, GPT-2, Phi."""


def final_norm(model: Any) -> str:
    """Name of a decoder's last norm. Raises ComponentError for a class that calls it otherwise."""
    for name in FINAL_NORMS:
        if hasattr(model, name):
            return name
    raise ComponentError(
        f"{type(model).__name__} has no last norm called {', '.join(FINAL_NORMS)}, which a parallel head takes out of its trunk; choose another language model"
    )


class GatedMLP(nn.Module):
    """(..., width_in) -> (..., width_out): down(silu(gate x) * up x), no biases."""

    def __init__(self, width_in: int, inner: int, width_out: int):
        super().__init__()
        self.gate = nn.Linear(width_in, inner, bias=False)
        self.up = nn.Linear(width_in, inner, bias=False)
        self.down = nn.Linear(inner, width_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def decoder(config: dict[str, Any], num_layers: int | None = None) -> tuple[Any, nn.Module]:
    """A decoder of transformers without its final norm, and that norm; with num_layers it also has no embedding."""
    from transformers import AutoConfig, AutoModel

    shape = AutoConfig.for_model(**config)
    if num_layers:
        shape.num_hidden_layers, shape.vocab_size, shape.pad_token_id = num_layers, 1, None
        if kinds := getattr(shape, "layer_types", None):  # one a layer of the trunk, which may have fewer
            shape.layer_types = [kinds[i % len(kinds)] for i in range(num_layers)]
    decoder = AutoModel.from_config(shape)
    if num_layers:
        decoder.set_input_embeddings(None)
    name = final_norm(decoder)
    norm = getattr(decoder, name)
    setattr(decoder, name, nn.Identity())
    return decoder, norm


def mean_of_streams(
    table: Callable[[Tensor], Tensor],
    adapter: nn.Module,
    tokens: Tensor,
    features: Tensor | None,
    frame_counts: Tensor | None,
) -> Tensor:
    """tokens (batch, num_streams + 1, steps), text last -> (batch, steps, width): the mean of the streams' embeddings.

    table: tokens of any shape -> their embeddings.
    features (batch, frames, encoder_width) take the audio streams' places at steps 1 .. frame_counts (batch,), all
    frames where no counts are given; the text stream keeps its token there.
    """
    embedded = table(tokens.to(next(adapter.parameters()).device))
    audio, text = embedded[:, :-1].sum(1), embedded[:, -1]
    if features is not None:
        audio = _with_features(audio, adapter(features.to(audio)) * (tokens.shape[1] - 1), frame_counts)
    return (audio + text) / tokens.shape[1]


def _with_features(audio: Tensor, heard: Tensor, frame_counts: Tensor | None) -> Tensor:
    steps, frames = audio.shape[1], heard.shape[1]
    counts = torch.tensor([frames]) if frame_counts is None else frame_counts
    heard = F.pad(heard, (0, 0, 1, max(0, steps - frames - 1)))[:, :steps]
    place = torch.arange(steps, device=audio.device)
    is_heard = (place >= 1) & (place <= counts.to(audio.device)[:, None])
    return torch.where(is_heard[..., None], heard, audio)
