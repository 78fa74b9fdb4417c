"""The derived look-ahead against what a frame's samples really depend on, by their gradient in float64."""

import math

import pytest
import torch
from torch import nn

from data_contracts.components import CodecSettings
from omni_core import components
from omni_core.receptive_field import convolutions, look_ahead_frames
from omni_core.vocoders import GriffinLim, HifiganGenerator
from tests.omni_core.codecs.tiny_codecs import write_dac, write_snac

HIFIGAN_V1 = {"upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4], "resblock_kernel_sizes": [3, 7, 11],
              "resblock_dilation_sizes": [[1, 3, 5]] * 3, "upsample_initial_channel": 32}  # fmt: skip


def frames_read(decoder, width, frame, frames, steps, samples):
    """The frames on which the samples of one frame depend: those where their gradient is not zero."""
    torch.manual_seed(0)
    latents = torch.randn(1, width, frames * steps, dtype=torch.float64, requires_grad=True)
    waveform = decoder(latents).flatten()[frame * samples : (frame + 1) * samples]
    (waveform * torch.randn_like(waveform)).sum().backward()
    touched = latents.grad[0].reshape(width, frames, steps).abs().sum((0, 2)).nonzero().flatten()
    return touched.min().item(), touched.max().item()


def reach(decoder, width, stated, steps, samples, phases=1):
    """The furthest frame read, over all places in the window."""
    middle = math.ceil((stated + 2) / phases) * phases
    found = [
        frames_read(decoder, width, f, 2 * middle + phases, steps, samples) for f in range(middle, middle + phases)
    ]
    return max(max(f - first, last - f) for f, (first, last) in zip(range(middle, middle + phases), found, strict=True))


@pytest.mark.parametrize("change", [{}, {"upsample_rates": [8, 8, 4, 4], "upsample_kernel_sizes": [16, 16, 8, 8]},
                                    {"resblock_kernel_sizes": [11, 3, 5]}])  # fmt: skip
def test_the_look_ahead_of_hifigan_is_its_receptive_field(change):
    config = HIFIGAN_V1 | change
    generator = HifiganGenerator(config).double()
    assert generator.look_ahead_frames == reach(
        generator, 80, generator.look_ahead_frames, 1, math.prod(config["upsample_rates"])
    )


def test_the_published_hifigan_reads_thirteen_frames_on_either_side():
    assert HifiganGenerator(HIFIGAN_V1).look_ahead_frames == 13


@pytest.mark.parametrize(("rate", "frames"), [("24khz", 3), ("44khz", 5)])
def test_the_look_ahead_of_snac_is_its_receptive_field(rate, frames, tmp_path):
    codec = components.load("codecs", "snac", CodecSettings(name="snac"), write_snac(tmp_path, rate), tmp_path)
    found = reach(codec.model.double().decoder, codec.model.latent_dim, codec.look_ahead_frames, codec.strides[0],
                  codec.samples_per_frame, codec.window_frames)  # fmt: skip
    assert codec.look_ahead_frames == found
    assert found == frames


def test_the_look_ahead_of_dac_is_its_receptive_field(tmp_path):
    codec = components.load("codecs", "dac", CodecSettings(name="dac", num_codebooks=4), write_dac(tmp_path), tmp_path)
    decoder = codec.model.double().decoder
    whole = lambda latents: nn.functional.pad(decoder(latents), (0, 8))  # noqa: E731 its last samples are missing
    assert codec.look_ahead_frames == reach(whole, 64, codec.look_ahead_frames, 1, codec.samples_per_frame)


def test_a_window_is_read_whole():
    class Window(nn.Module):
        window_size = 4

    assert look_ahead_frames([Window()], samples_per_frame=1, phases=4) == 3
    assert look_ahead_frames([nn.Conv1d(1, 1, 3, padding=1), Window()], samples_per_frame=1, phases=4) == 4
    assert len(convolutions(nn.Sequential(nn.Conv1d(1, 1, 1), nn.ReLU(), Window()))) == 2


def test_griffin_lim_carries_no_further_than_it_says():
    vocoder = GriffinLim(iterations=4)
    mel = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0)) - 3
    other = mel.clone()
    other[:, :, 60 + vocoder.look_ahead_frames + 1 :] += 1
    here = slice(0, 61 * 256)
    assert torch.allclose(vocoder(mel)[:, here], vocoder(other)[:, here], atol=1e-6)
    other[:, :, 62] += 1
    assert not torch.allclose(vocoder(mel)[:, here], vocoder(other)[:, here], atol=1e-3)


def test_chunks_of_hifigan_s_mels_decode_as_the_whole():
    torch.manual_seed(0)
    generator = HifiganGenerator(HIFIGAN_V1).eval()
    mel, ahead = torch.randn(1, 80, 70), generator.look_ahead_frames
    with torch.no_grad():
        whole, chunk = generator(mel), generator(mel[:, :, 30 - ahead : 40 + ahead])
    assert torch.allclose(chunk[:, ahead * 256 : (ahead + 10) * 256], whole[:, 30 * 256 : 40 * 256], atol=1e-4)
