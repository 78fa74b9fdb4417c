"""mini_omni: the language model inside an imported Mini-Omni, or inside any parallel head; frozen, as the others are.

So it thinks for either speech head: for the talker, beside which it stays as it is, and for the parallel head that it
came with.
"""

from __future__ import annotations

from pathlib import Path

import torch

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import WeightsError
from omni_core import bundled_weights
from omni_core.chat_format import chat_format
from omni_core.language_models.huggingface import CausalLanguageModel


def load(settings: LanguageModelSettings, home: Path, dtype: torch.dtype = torch.float32) -> CausalLanguageModel:
    """A folder of `omni import mini-omni`, or of a trained parallel head -> frozen model of its text. Raises WeightsError."""
    from transformers import AutoTokenizer

    from omni_core.mini_omni.language_model import causal_model
    from omni_core.speech_heads import parallel

    folder = Path(bundled_weights.resolve(settings.weights, home))
    head = parallel.load(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"'{folder}' has no tokenizer that can be read, so its language model has no words; put tokenizer.json and "
            "tokenizer_config.json of the checkpoint there"
        ) from error
    model = causal_model(head, head.layout.text_vocabulary_size).to(dtype)
    return CausalLanguageModel(
        model, tokenizer, chat_format(tokenizer, settings.system_prompt), settings.system_prompt, str(folder)
    )
