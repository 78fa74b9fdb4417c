"""A judge is pinned by the hash of its weights, and no model is judged by a part of itself."""

import hashlib
import shutil

import pytest

from data_contracts.errors import WeightsError
from omni_core.judge_pin import fingerprint, pinned


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "judge"


def test_the_fingerprint_is_the_weights_whatever_the_folder_is_called(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    assert fingerprint(str(folder)) == fingerprint(str(tmp_path / "other")) == hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "other" / "model.safetensors").write_bytes(b"weightz")
    assert fingerprint(str(folder)) != fingerprint(str(tmp_path / "other"))


def test_a_model_that_holds_the_judge_is_refused_and_another_is_not(folder, tmp_path):
    encoder = tmp_path / "model" / "encoder"
    encoder.mkdir(parents=True)
    (encoder / "model.safetensors").write_bytes(b"others")
    assert pinned(str(folder), tmp_path / "model") == fingerprint(str(folder))
    shutil.copy(folder / "model.safetensors", encoder)
    with pytest.raises(WeightsError, match=r"is a part of the model .*encoder/model.safetensors.*choose another"):
        pinned(str(folder), tmp_path / "model")


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="holds no weights"):
        fingerprint(str(tmp_path))
