"""The family's contract: every weight quantizer serves the model it was given."""

import importlib

import numpy as np
import pytest
import torch

from data_contracts.base import choices
from data_contracts.components import LanguageModelSettings
from omni_core import components
from omni_core.prefix import prefix_of_tokens
from tests.flows import tiny

MIN_COSINE = {"none": 0.9999, "dynamic_int8": 0.97, "onnx_int8": 0.99}
"""To float32; activations in int8, one scale for all, cost dynamic_int8 its second digit (0.98 on a Qwen2-0.5B shape)."""


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tiny.write_language_model(tmp_path_factory.mktemp("lm"), tiny.turns(count=4), width=64)
    settings = LanguageModelSettings(weights=str(folder), system_prompt="Answer.")
    return components.load("language_models", "huggingface", settings, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("name", choices("weight_quantizers"))
def test_serving_step_by_step_is_close_to_the_float32_model(name, lm, tmp_path):
    quantizer = importlib.import_module(f"omni_core.weight_quantizers.{name}")
    quantizer.quantize(lm, tmp_path)
    served = quantizer.load(tmp_path, 1)
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix).keys_values.detach().numpy()
    ids = lm.tokens("Turn on light 1 in the hall.") + lm.chat.suffix
    with torch.no_grad():
        wanted = lm.model(input_ids=torch.tensor([lm.chat.prefix + ids]), output_hidden_states=True)
    for _ in range(2):  # start must forget the conversation before
        served.start(prefix)
        served.step(lm.embedding[ids[:5]].numpy())
        logits, hidden = served.step(lm.embedding[ids[5:]].numpy())
    assert logits.shape == (lm.model.config.vocab_size,) and hidden.shape == (len(ids) - 5, lm.width)
    for found, right in ((logits, wanted.logits[0, -1]), (hidden[-1], wanted.hidden_states[-1][0, -1])):
        cosine = found @ right.numpy() / np.linalg.norm(found) / np.linalg.norm(right)
        assert cosine > MIN_COSINE[name]


def test_quantized_files_are_smaller(lm, tmp_path):
    sizes = {}
    for name in ("none", "onnx_int8"):
        (tmp_path / name).mkdir()
        importlib.import_module(f"omni_core.weight_quantizers.{name}").quantize(lm, tmp_path / name)
        sizes[name] = sum(
            p.stat().st_size for p in (tmp_path / name).rglob("*.safetensors" if name == "none" else "model.onnx*")
        )
    assert sizes["onnx_int8"] < sizes["none"]
