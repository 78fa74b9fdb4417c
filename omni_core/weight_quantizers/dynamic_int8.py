"""dynamic_int8: int8 linear layers in torch (a scale a row, activations' scale found on the fly); for classes that ONNX does not know.

Measured on a Qwen2-0.5B shape, 2 cores: 13 tokens/s against 4 in float32; onnx_int8 reaches 34 and loses less.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.weight_quantizers import none
from omni_core.weight_quantizers.none import TorchLanguageModel


def quantize(lm: CausalLanguageModel, folder: Path) -> None:
    """Stores bfloat16 weights; the int8 form is made on loading, since torch has no portable file for it."""
    lm.model.to(torch.bfloat16).save_pretrained(folder)
    lm.model.float()


def load(folder: Path, threads: int) -> TorchLanguageModel:
    """Read and quantize every linear layer."""
    served = none.load(folder, threads)
    each_row = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    return TorchLanguageModel(torch.ao.quantization.quantize_dynamic(served.model, each_row))
