"""A parallel head enters, the language model inside it leaves, as a causal model of transformers: text rows, or all streams'."""

from __future__ import annotations

from typing import Any

import torch

from omni_core.speech_heads._parallel_blocks import final_norm
from omni_core.speech_heads.parallel import ParallelHead


@torch.no_grad()
def causal_model(head: ParallelHead, rows: int | None = None) -> Any:
    """A model of the trunk's own class with the first `rows` tokens of the vocabulary, all by default.

    It shares no memory with the head, so that either may be trained or converted. Raises nothing: what the head does not
    have (a bias of the output matrix) is zero.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    kept = rows or head.lm_head.weight.shape[0]
    values = {**head.config.trunk, "vocab_size": kept, "tie_word_embeddings": head.config.tied}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values))
    base = model.base_model
    norm = final_norm(base)
    base.load_state_dict(_without_embedding(head), strict=False)
    getattr(base, norm).load_state_dict(head.norm.state_dict())
    model.get_input_embeddings().weight.copy_(head.trunk.get_input_embeddings().weight[:kept])
    output = model.get_output_embeddings()
    output.weight.copy_(head.lm_head.weight[:kept])
    if getattr(output, "bias", None) is not None:
        output.bias.zero_()
    return model.eval().requires_grad_(False)


def _without_embedding(head: ParallelHead) -> dict[str, torch.Tensor]:
    embedding = {id(p) for p in head.trunk.get_input_embeddings().parameters()}
    return {name: p for name, p in head.trunk.named_parameters() if id(p) not in embedding}
