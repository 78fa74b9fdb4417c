"""none: the language model as it is, float32 in torch; the reference that the others are measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.prefix import cache_behind


class TorchLanguageModel:
    """A transformers model behind a growing cache."""

    def __init__(self, model):
        self.model = model.eval().requires_grad_(False)

    def start(self, keys_values: np.ndarray, rows: int = 1) -> None:
        self.cache, self.position = cache_behind(torch.from_numpy(keys_values), rows), keys_values.shape[3]

    def step(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, hidden = self.step_rows(embeddings[None])
        return logits[0], hidden[0]

    @torch.no_grad()
    def step_rows(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = torch.from_numpy(embeddings)
        positions = torch.arange(self.position, self.position + inputs.shape[1])[None]
        hidden = self.model.base_model(
            inputs_embeds=inputs, past_key_values=self.cache, use_cache=True, position_ids=positions
        ).last_hidden_state
        self.position += inputs.shape[1]
        return self.model.get_output_embeddings()(hidden[:, -1]).numpy(), hidden.numpy()


def quantize(lm: CausalLanguageModel, folder: Path) -> None:
    """Writes the float32 model."""
    lm.model.save_pretrained(folder)


def load(folder: Path, threads: int) -> TorchLanguageModel:
    """Read it back; threads are torch's, set by the caller of the whole model."""
    from transformers import AutoModelForCausalLM

    return TorchLanguageModel(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
