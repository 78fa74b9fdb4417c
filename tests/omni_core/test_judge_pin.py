"""A judge is pinned by the hash of its weights, and no model is judged by a part of itself, however it was saved."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from data_contracts.errors import WeightsError
from omni_core.judge_pin import fingerprint, pinned


def tensors(seed: int, layers: int = 3) -> dict[str, torch.Tensor]:
    """Layers, and the table that recognisers of one size share."""
    rng = torch.Generator().manual_seed(seed)
    made = {f"layers.{i}.weight": 0.02 * torch.randn(80, 64, generator=rng) for i in range(layers)}
    return made | {"positions": torch.sin(torch.arange(8192.0)).reshape(128, 64), "norm": torch.ones(64)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "judge").mkdir()
    save_file(tensors(0), tmp_path / "judge" / "model.safetensors")
    return tmp_path / "judge"


@pytest.fixture
def encoder(tmp_path):
    (tmp_path / "model" / "encoder").mkdir(parents=True)
    return tmp_path / "model" / "encoder"


def test_the_fingerprint_is_the_weights_whatever_the_folder_is_called(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert fingerprint(str(folder)) == fingerprint(str(tmp_path / "other")) == expected
    save_file(tensors(1), tmp_path / "other" / "model.safetensors")
    assert fingerprint(str(folder)) != fingerprint(str(tmp_path / "other"))


def test_of_sharded_weights_every_shard_counts(folder):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"layers.0.weight": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = fingerprint(str(folder))
    save_file(tensors(1), folder / "model-1.safetensors")
    assert fingerprint(str(folder)) != before


def test_a_model_that_holds_the_judge_is_refused_and_another_of_its_size_is_not(folder, encoder):
    save_file(tensors(1), encoder / "model.safetensors")
    assert pinned(str(folder), encoder.parent) == fingerprint(str(folder))
    shutil.copy(folder / "model.safetensors", encoder)
    with pytest.raises(WeightsError, match=r"is a part of the model .*encoder/model.safetensors.*choose another"):
        pinned(str(folder), encoder.parent)


def test_a_copy_saved_again_under_other_names_in_half_precision_is_still_the_judge(folder, encoder):
    again = {
        f"model.encoder.{name}": value.bfloat16() for name, value in tensors(0).items() if name != "layers.2.weight"
    }
    save_file(again, encoder / "model.safetensors", {"saved": "again"})
    with pytest.raises(WeightsError, match=r"encoder/model.safetensors has its weights"):
        pinned(str(folder), encoder.parent)


def test_what_a_stored_part_was_made_of_counts_too(folder, encoder, tmp_path):
    torch.save(tensors(0), tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"language model '.*' has its weights"):
        pinned(str(folder), encoder.parent, {"language model": str(tmp_path)})
    assert pinned(str(folder), encoder.parent, {"language model": str(tmp_path / "gone")})


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="holds no weights"):
        fingerprint(str(tmp_path))
