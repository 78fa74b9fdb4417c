"""Weights are whole or refused; licences are what the card says."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from data_contracts.errors import WeightsError
from omni_core.pretrained import NOT_STATED, licence_of, load_pretrained
from tests.omni_core.codecs.tiny_codecs import write_dac


def test_weights_that_lack_a_parameter_are_refused_and_it_is_named(tmp_path):
    """transformers alone would leave it at random and warn."""
    from transformers import DacModel

    write_dac(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("decoder.conv1.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack 1 parameters of a DAC codec, first decoder.conv1.weight"):
        load_pretrained(DacModel, str(tmp_path), ("dac",), "DAC codec")


def test_half_precision_weights_are_computed_in_float32(tmp_path):
    from transformers import DacModel

    write_dac(tmp_path)
    DacModel.from_pretrained(tmp_path, dtype=torch.bfloat16).save_pretrained(tmp_path)
    model = load_pretrained(DacModel, str(tmp_path), ("dac",), "DAC codec")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("license:\n- mit\n- apache-2.0", "mit, apache-2.0"),
        ("tags: [audio]", NOT_STATED),
    ],
)
def test_the_licence_is_what_the_model_card_states(tmp_path, card, licence):
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# A model\n")
    assert licence_of(str(tmp_path)) == licence


def test_without_a_card_no_licence_is_made_up(tmp_path):
    assert licence_of(str(tmp_path)) == NOT_STATED
    assert licence_of("somebody/not-downloaded") == NOT_STATED


def test_bundled_weights_have_the_licence_of_the_catalogue():
    assert licence_of("bundled:whisper_base") == "MIT"
