"""The codec family's contract: every file in omni_core/codecs/ is run through the same claims."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.base import choices
from data_contracts.components import CodecSettings
from omni_core import components
from omni_core.codecs import mel_rvq
from omni_core.codecs._streaming import open_stream
from tests.omni_core.codecs.tiny_codecs import WRITERS

MEL_RVQ = CodecSettings(num_codebooks=3, codebook_size=32, patch_frames=4, vocoder="griffin_lim", refine_steps=20)
MEMBER = {"mel_rvq": "mel_rvq"} | {variant: name for variant, (name, _) in WRITERS.items()}
"""Variant -> member of omni_core/codecs/."""


def speechlike(seconds=2.0, seed=0, rate=22_050):
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(int(seconds * rate)) / rate
    pitch = 120 + 60 * torch.rand((), generator=generator)
    voice = sum(torch.sin(2 * torch.pi * k * pitch * time) / k for k in range(1, 9))
    return 0.1 * voice * (0.5 + 0.5 * torch.sin(2 * torch.pi * 3 * time))


def codec_settings(variant, folder):
    if variant == "mel_rvq":
        return MEL_RVQ
    name, write = WRITERS[variant]
    return CodecSettings(name=name, weights=write(folder), num_codebooks=4)


@pytest.fixture(scope="module", params=sorted(MEMBER))
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def codec(variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp(variant)
    chosen = codec_settings(variant, folder)
    if variant == "mel_rvq":
        return mel_rvq.fit([speechlike(seed=s) for s in range(4)], chosen, Path("."))
    return components.load("codecs", chosen.name, chosen, folder, Path("."))


def random_codes(codec, frames, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(codec.codebook_size, (batch, codec.num_codebooks, frames), generator=generator)


def test_every_codec_stands_in_this_contract():
    assert set(MEMBER.values()) == set(choices("codecs")), "add the new codec's small weights to tiny_codecs.py"


def test_rates_and_samples_a_frame_belong_together(codec):
    assert codec.frame_rate_hz * codec.samples_per_frame == pytest.approx(codec.sample_rate_hz)
    assert codec.look_ahead_frames >= 0


@pytest.mark.parametrize("seconds", [2.0, 0.31])
def test_codes_have_the_stated_shape_and_range(codec, seconds):
    waveform = speechlike(seconds, rate=codec.sample_rate_hz)
    codes = codec.encode(torch.stack([waveform, -waveform]))
    frames = -(-len(waveform) // codec.samples_per_frame)
    assert codes.shape == (2, codec.num_codebooks, frames)
    assert codes.min() >= 0 and codes.max() < codec.codebook_size and not codes.is_floating_point()


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_decoding_gives_whole_frames_in_range(codec, frames):
    waveform = codec.decode(random_codes(codec, frames, batch=2))
    assert waveform.shape == (2, frames * codec.samples_per_frame)
    assert waveform.abs().max() <= 1.0 and waveform.std() > 1e-4


def test_the_same_codes_always_sound_the_same(codec):
    codes = random_codes(codec, 5)
    assert torch.equal(codec.decode(codes), codec.decode(codes))


def test_a_saved_codec_comes_back_the_same(codec, variant, tmp_path):
    codec.save(tmp_path)
    again = components.load("codecs", MEMBER[variant], CodecSettings(num_codebooks=2), tmp_path, Path("."))
    codes = codec.encode(speechlike(rate=codec.sample_rate_hz)[None])
    assert torch.equal(again.encode(speechlike(rate=codec.sample_rate_hz)[None]), codes)
    assert torch.allclose(again.decode(codes), codec.decode(codes), atol=1e-5)


@settings(max_examples=4, deadline=None)
@given(chunks=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_chunked_decoding_is_whole_decoding_to_1e_4(codec, chunks, seed):
    """... and no frame is held back once `look_ahead_frames` after it are known."""
    codes = random_codes(codec, sum(chunks) + 2 * codec.look_ahead_frames + 1, seed=seed)
    stream, given_, out = open_stream(codec), 0, []
    for size in [codec.look_ahead_frames + 1, *chunks]:
        out.append(stream.push(codes[:, :, given_ : given_ + size]))
        given_ += size
        assert sum(o.shape[1] for o in out) >= (given_ - codec.look_ahead_frames) * codec.samples_per_frame
    out.append(stream.push(codes[:, :, given_:], last=True))
    whole = codec.decode(codes)
    assert torch.cat(out, 1).shape == whole.shape
    assert (torch.cat(out, 1) - whole).abs().max() < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 6, 7])
def test_a_recording_shorter_than_the_look_ahead_is_decoded_as_a_whole(codec, frames):
    codes, stream = random_codes(codec, frames), open_stream(codec)
    out = [stream.push(codes[:, :, at : at + 1]) for at in range(frames)] + [stream.push(codes[:, :, :0], last=True)]
    assert torch.allclose(torch.cat(out, 1), codec.decode(codes), atol=1e-4)


def decoder_input(codec, codes):
    """What the decoder is really handed, (batch, steps, width), caught at its door."""
    if isinstance(codec, mel_rvq.MelRvq):
        return ((codec.patches_of(codes).transpose(1, 2).reshape(*codes.shape[::2], -1)) - codec.mean) @ codec.basis
    caught = []
    hook = codec.model.decoder.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    codec.decode(codes)
    hook.remove()
    return caught[0].transpose(1, 2)


def test_a_frame_s_latent_is_the_sum_of_its_code_vectors(codec):
    vectors, codes = codec.code_vectors(), random_codes(codec, 8, batch=2)
    assert vectors.shape[:2] == (codec.num_codebooks, codec.codebook_size)
    summed = sum(vectors[stream][codes[:, stream]] for stream in range(codec.num_codebooks))
    latents = decoder_input(codec, codes)
    assert torch.allclose(summed.reshape(2, -1, latents.shape[2]), latents, atol=1e-4)
    assert summed.std() > 1e-3


def test_more_codebooks_come_closer_to_the_mel():
    waveforms = [speechlike(seed=s) for s in range(4)]
    errors = []
    for number in (1, 4):
        fitted = mel_rvq.fit(waveforms, MEL_RVQ.model_copy(update={"num_codebooks": number}), Path("."))
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
