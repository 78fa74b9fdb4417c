"""The codec family's contract: every file in omni_core/codecs/ is run through the same claims."""

from pathlib import Path

import pytest
import torch

from data_contracts.base import choices
from data_contracts.components import CodecSettings
from omni_core import components
from omni_core.codecs import mel_rvq

SETTINGS = {"mel_rvq": CodecSettings(num_codebooks=3, codebook_size=32, patch_frames=4, vocoder="griffin_lim")}


def speechlike(seconds=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * 22_050)) / 22_050
    pitch = 120 + 60 * torch.rand((), generator=generator)
    voice = sum(torch.sin(2 * torch.pi * k * pitch * time) / k for k in range(1, 9))
    return 0.1 * voice * (0.5 + 0.5 * torch.sin(2 * torch.pi * 3 * time))


@pytest.fixture(scope="module", params=choices("codecs"))
def codec(request):
    assert request.param in SETTINGS, f"add settings for the new codec {request.param} to this contract test"
    module = __import__(f"omni_core.codecs.{request.param}", fromlist=["fit"])
    return module.fit([speechlike(seed=s) for s in range(4)], SETTINGS[request.param], Path("."))


def test_codes_have_the_stated_shape_and_range(codec):
    codes = codec.encode(speechlike()[None])
    assert codes.shape[:2] == (1, codec.num_codebooks)
    assert abs(codes.shape[2] / codec.frame_rate_hz - 2.0) < 2 / codec.frame_rate_hz
    assert codes.min() >= 0 and codes.max() < codec.codebook_size


def test_decoding_gives_whole_frames_in_range(codec):
    codes = codec.encode(speechlike()[None])
    waveform = codec.decode(codes)
    assert waveform.shape[1] == pytest.approx(codes.shape[2] * codec.sample_rate_hz / codec.frame_rate_hz, abs=1)
    assert waveform.abs().max() <= 1.0


def test_a_saved_codec_comes_back_the_same(codec, tmp_path):
    codec.save(tmp_path)
    name = next(name for name in SETTINGS if type(codec).__module__.endswith(name))
    again = components.load("codecs", name, SETTINGS[name], tmp_path, Path("."))
    codes = codec.encode(speechlike()[None])
    assert torch.equal(again.encode(speechlike()[None]), codes)
    assert torch.allclose(again.decode(codes), codec.decode(codes), atol=1e-5)


def test_more_codebooks_come_closer_to_the_mel():
    waveforms = [speechlike(seed=s) for s in range(4)]
    errors = []
    for number in (1, 4):
        settings = SETTINGS["mel_rvq"].model_copy(update={"num_codebooks": number})
        fitted = mel_rvq.fit(waveforms, settings, Path("."))
        mel = fitted.decode_mel(fitted.encode(waveforms[0][None]))
        original = mel_rvq.log_mel(waveforms[0][None])
        errors.append((mel[..., : original.shape[2]] - original).square().mean().item())
    assert errors[1] < errors[0]


def test_kmeans_finds_three_heaps():
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.cat([c + 0.1 * torch.randn(50, 2, generator=generator) for c in centres])
    found = mel_rvq.kmeans(points, 3, 20, generator)
    assert (
        torch.cdist(centres, found).min(1).values.max() < 0.2 or len(torch.unique(mel_rvq.nearest(points, found))) == 3
    )
