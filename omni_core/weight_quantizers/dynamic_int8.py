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
    """Stores bfloat16 weights; the int8 form is made on loading, since torch has no portable file for it.

    The model that was handed in stays in float32: what is measured afterwards is measured against it.
    """
    halved = {name: value.to(torch.bfloat16) for name, value in lm.model.state_dict().items()}
    lm.model.save_pretrained(folder, state_dict=halved)


def load(folder: Path, threads: int) -> TorchLanguageModel:
    """Read and quantize every linear layer."""
    served = none.load(folder, threads)
    _linear_for_conv1d(served.model)
    each_row = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    return TorchLanguageModel(torch.ao.quantization.quantize_dynamic(served.model, each_row))


def _linear_for_conv1d(model: nn.Module) -> None:
    """GPT-2 keeps its matrices transposed, in a class of its own that torch would leave in float32."""
    from transformers.pytorch_utils import Conv1D

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D):
                linear = nn.Linear(*child.weight.shape)
                linear.weight, linear.bias = nn.Parameter(child.weight.T.contiguous(), False), child.bias
                setattr(parent, name, linear)
