"""huggingface: any causal language model of transformers, by folder or hub id, frozen; behind one small interface.

Classes differ in what they do to embeddings (Gemma scales them), in where positions come from (GPT-2 learns them) and
in what a layer's cache keeps (a sliding window, or all). Held by the contract test of the family for Llama, SmolLM2,
Qwen2, 2.5 and 3, Gemma 3, GPT-2 and Phi.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import WeightsError
from omni_core import bundled_weights
from omni_core.chat_format import ChatFormat, chat_format
from omni_core.component_facts import refuse_layers_without_keys

__all__ = ["CausalLanguageModel", "ChatFormat", "chat_format", "load"]


@dataclass(frozen=True)
class CausalLanguageModel:
    """A frozen model, its tokenizer and its chat format."""

    model: Any
    tokenizer: Any
    chat: ChatFormat
    system_prompt: str
    folder: str

    @property
    def width(self) -> int:
        """Width of embeddings and hidden states."""
        return self.model.config.get_text_config().hidden_size

    @property
    def context(self) -> int:
        """Positions that it was made to read; 0: it states no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 0

    @cached_property
    def embedding(self) -> Tensor:
        """What the model reads for each token, (vocabulary, width), fed as inputs_embeds: Gemma scales its table first."""
        table = self.model.get_input_embeddings()
        if type(table) is nn.Embedding:
            return table.weight
        with torch.no_grad():
            return table(torch.arange(len(table.weight), device=table.weight.device))

    def halve_matrices(self) -> None:
        """Matrices in bfloat16, in place, as autocast would cast them at every step; `model.float()` goes back.

        Norms stay in float32: those of GPT-2 and Phi (nn.LayerNorm) refuse float32 inputs otherwise.
        """
        from transformers.pytorch_utils import Conv1D

        for module in self.model.modules():
            if isinstance(module, nn.Linear | Conv1D):
                module.weight.data = module.weight.data.to(torch.bfloat16)

    def attend_plainly(self) -> None:
        """Attention as plain matrix products where there is no GPU: behind a prefix of 294 positions the CPU's fused one takes
        1.7 s for a training step of 16 turns in one row, this 1.3 (one core, bfloat16)."""
        if not torch.cuda.is_available():
            self.model.set_attn_implementation("eager")

    def tokens(self, text: str) -> list[int]:
        """Text -> ids without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def load(settings: LanguageModelSettings, home: Path, dtype: torch.dtype = torch.float32) -> CausalLanguageModel:
    """Folder, hub id or bundled:NAME -> frozen model in `dtype`. Raises WeightsError or ComponentError with the mend."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = bundled_weights.resolve(settings.weights, home)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no causal language model in '{settings.weights}': {str(error).splitlines()[0]}; name a folder made by save_pretrained or a hub id"
        ) from error
    refuse_layers_without_keys(settings.weights, getattr(model.config.get_text_config(), "layer_types", None))
    return CausalLanguageModel(
        model.eval().requires_grad_(False),
        tokenizer,
        chat_format(tokenizer, settings.system_prompt),
        settings.system_prompt,
        where,
    )
