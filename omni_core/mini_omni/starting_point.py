"""A language model enters, a parallel head on it leaves, untrained for speech: where the recipe starts after a swap."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from omni_core.speech_heads.parallel import FINAL_NORMS, ParallelConfig, ParallelHead
from omni_core.token_layout import MINI_OMNI, ParallelLayout


def layout_on(model: Any, num_streams: int, codebook_size: int) -> ParallelLayout:
    """Streams of a codec beside a language model's text; Mini-Omni's own geometry for seven streams of 4096 on Qwen2."""
    delays = tuple(range(1, num_streams + 1))
    text = model.get_input_embeddings().weight.shape[0]
    return ParallelLayout(num_streams, codebook_size, delays, text, MINI_OMNI.num_specials)


def on_language_model(
    model: Any,
    layout: ParallelLayout,
    encoder_width: int,
    generator: torch.Generator,
    post_adapter_layers: int = 0,
    adapter_width: int = 4864,
) -> ParallelHead:
    """Copy the model's layers, norm and matrices; rows of new tokens are drawn like another word (see _fill).

    model: any causal language model of transformers; a bias of its output matrix (Phi's) is left out.
    """
    shape = model.config.get_text_config()
    trunk = {**shape.to_dict(), "model_type": shape.model_type, "vocab_size": layout.total_size, "pad_token_id": None}
    tied = bool(shape.tie_word_embeddings)
    config = ParallelConfig(layout, trunk, encoder_width, "gated_mlp", adapter_width, post_adapter_layers, tied)
    head = ParallelHead(config)
    _copy_trunk(model.base_model, head)
    with torch.no_grad():
        _fill(head.trunk.get_input_embeddings().weight, model.get_input_embeddings().weight, generator)
        if not tied:
            _fill(head.lm_head.weight, model.get_output_embeddings().weight, generator)
    return head


def _copy_trunk(base: Any, head: ParallelHead) -> None:
    """Everything but the embedding, which has another size; the norm has left the trunk."""
    norm = next(name for name in FINAL_NORMS if hasattr(base, name))
    embedding = {id(p) for p in base.get_input_embeddings().parameters()}
    kept = {n: p for n, p in base.named_parameters() if id(p) not in embedding and not n.startswith(f"{norm}.")}
    unexpected = head.trunk.load_state_dict(kept, strict=False).unexpected_keys
    assert not unexpected, unexpected
    head.norm.load_state_dict(getattr(base, norm).state_dict())


def _fill(rows: Tensor, known: Tensor, generator: torch.Generator) -> None:
    """Known rows first; the others are normal with the mean and deviation of the known ones, column by column."""
    noise = torch.randn(rows.shape, generator=generator)
    rows.copy_(known.mean(0) + known.std(0) * noise)
    rows[: len(known)] = known
