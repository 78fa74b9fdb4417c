"""mimi, encodec, dac: their first codebooks suffice, transformers' own answers, and what is refused."""

from pathlib import Path

import pytest
import torch

from data_contracts.components import CodecSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from tests.omni_core.codecs.tiny_codecs import WRITERS, write_dac, write_encodec, write_mimi

RESIDUAL = ("mimi", "encodec", "dac")


def load(name, folder, num_codebooks=4):
    return components.load("codecs", name, CodecSettings(name=name, num_codebooks=num_codebooks), folder, Path("."))


@pytest.mark.parametrize("name", RESIDUAL)
def test_fewer_codebooks_are_the_first_ones(name, tmp_path):
    WRITERS[name][1](tmp_path)
    few, many = load(name, tmp_path, 2), load(name, tmp_path, 4)
    waveform = 0.1 * torch.randn(1, 8 * many.samples_per_frame)
    assert torch.equal(few.encode(waveform), many.encode(waveform)[:, :2])
    assert torch.equal(few.code_vectors(), many.code_vectors()[:2])


@pytest.mark.parametrize("name", RESIDUAL)
def test_more_codebooks_than_the_weights_have_are_refused(name, tmp_path):
    WRITERS[name][1](tmp_path)
    with pytest.raises(ComponentError, match="num_codebooks is 30"):
        load(name, tmp_path, 30)


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_folder_of_something_else_is_refused(name, tmp_path):
    with pytest.raises(WeightsError, match="name a folder made by save_pretrained or a hub id"):
        load(name, tmp_path / "nowhere")
    write_dac(tmp_path) if name != "dac" else write_mimi(tmp_path)
    with pytest.raises(WeightsError, match="holds a model of type"):
        load(name, tmp_path)


def test_codes_of_encodec_are_those_of_transformers(tmp_path):
    codec = load("encodec", write_encodec(tmp_path))
    waveform = 0.1 * torch.randn(2, 5000)
    padded = torch.nn.functional.pad(waveform, (0, -5000 % codec.samples_per_frame))
    with torch.no_grad():
        theirs = codec.model.encode(padded[:, None], bandwidth=1.2).audio_codes
        sound = codec.model.decode(theirs[:, :, :4], [None]).audio_values[:, 0]
    assert torch.equal(codec.encode(waveform), theirs[0, :, :4])
    assert torch.allclose(codec.decode(theirs[0, :, :4]), sound, atol=1e-6)


def test_encodec_at_48_khz_is_refused(tmp_path):
    stereo = {"sampling_rate": 48_000, "audio_channels": 2, "normalize": True, "chunk_length_s": 1.0, "overlap": 0.01,
              "norm_type": "time_group_norm", "use_causal_conv": False, "target_bandwidths": [3.0, 6.0]}  # fmt: skip
    with pytest.raises(ComponentError, match="not a streaming mono EnCodec"):
        load("encodec", write_encodec(tmp_path, **stereo))


def test_dac_s_missing_last_samples_are_silence(tmp_path):
    """transformers' layer of stride 5 gives 8 samples less than the frames have (24 kHz, strides 8 5 4 2)."""
    codec = load("dac", write_dac(tmp_path))
    waveform = codec.decode(torch.randint(32, (1, 4, 6)))
    assert not waveform[0, -8:].any() and waveform[0, -9] != 0
