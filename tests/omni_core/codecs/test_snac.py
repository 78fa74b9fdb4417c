"""SNAC: that ours is the package's SNAC, noise excepted."""

import json

import pytest
import torch

from data_contracts.components import CodecSettings
from data_contracts.errors import WeightsError
from omni_core.codecs import snac
from omni_core.token_layout import split_rates
from tests.omni_core.codecs.tiny_codecs import snac_config, write_snac

SETTINGS = CodecSettings(name="snac", weights="as the test says")


@pytest.mark.parametrize("rate", ["24khz", "44khz"])
def test_codes_and_sound_are_those_of_the_package(tmp_path, rate):
    """Weight norm folded, streams flattened, windows filled up: the same numbers as SNAC's own encode and decode."""
    from snac import SNAC

    folder = write_snac(tmp_path, rate, noise=False)
    theirs = SNAC.from_pretrained(folder)
    ours = snac.load(SETTINGS, tmp_path, tmp_path)
    waveform = 0.1 * torch.randn(2, 8 * ours.samples_per_frame)
    with torch.no_grad():
        levels = theirs.encode(waveform[:, None])
        sound = theirs.decode(levels)[:, 0]
    codes = ours.encode(waveform)
    assert all(torch.equal(a, b) for a, b in zip(split_rates(codes, ours.strides), levels, strict=True))
    assert torch.allclose(ours.decode(codes), sound, atol=1e-5)


def test_the_noise_is_there_and_belongs_to_its_place(tmp_path):
    noisy = snac.load(SETTINGS, write_snac(tmp_path), tmp_path)
    codes = torch.randint(32, (1, 7, 1)).expand(1, 7, 12)
    waveform = noisy.decode(codes)[0].reshape(12, -1)
    assert (waveform[5] - waveform[6]).abs().max() > 1e-4, "equal frames away from the ends differ by their noise alone"
    assert torch.allclose(noisy.decode(codes, first_frame=3)[0].reshape(12, -1)[5], noisy.decode(codes)[0].reshape(12, -1)[8], atol=1e-4)  # fmt: skip


def test_noise_blocks_are_uncorrelated(tmp_path):
    """Seeds of torch's CPU generator count by their low 32 bits only; blocks and frames must differ there."""
    blocks = snac.load(SETTINGS, write_snac(tmp_path), tmp_path).noises
    assert len(blocks) == 4
    draws = [block._noise(frame)[:32] for block in blocks for frame in range(3)]
    assert all(not torch.equal(a, b) for at, a in enumerate(draws) for b in draws[:at])


def test_the_config_of_another_model_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(WeightsError, match="no SNAC codec in"):
        snac.load(SETTINGS, tmp_path, tmp_path)


def test_a_folder_without_weights_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(snac_config()))
    with pytest.raises(WeightsError, match=r"no model.safetensors or pytorch_model.bin"):
        snac.load(SETTINGS, tmp_path, tmp_path)


def test_weights_of_another_width_are_one_sentence(tmp_path):
    write_snac(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(snac_config(codebook_dim=8)))
    with pytest.raises(WeightsError, match="no SNAC codec in"):
        snac.load(SETTINGS, tmp_path, tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_pickle_with_code_in_it_is_refused_unread(tmp_path):
    write_snac(tmp_path)
    torch.save({"weight": Bomb(tmp_path / "owned")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no SNAC codec in"):
        snac.load(SETTINGS, tmp_path, tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_hub_id_is_taken_from_the_hub_s_cache(tmp_path, monkeypatch):
    """The layout in which huggingface_hub keeps what it downloaded; offline, as the tests are."""
    from huggingface_hub import constants

    cached = tmp_path / "models--somebody--snac_tiny"
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    write_snac(cached / "snapshots" / "abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert snac.load(SETTINGS, "somebody/snac_tiny", tmp_path).num_codebooks == 7
    with pytest.raises(WeightsError, match="no SNAC codec in 'somebody/else'"):
        snac.load(SETTINGS, "somebody/else", tmp_path)
