"""What the refiner of mel_rvq learns, and what it must not touch."""

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.components import CodecSettings
from omni_core.codecs import mel_rvq
from omni_core.codecs._mel_refiner import REACH_MEL_FRAMES, MelRefiner, some_wrong

SETTINGS = CodecSettings(num_codebooks=3, codebook_size=16, patch_frames=5, vocoder="griffin_lim", refine_steps=150)


def speechlike(seed: int, seconds: float = 3.0) -> torch.Tensor:
    """A gliding voice with syllables."""
    time = torch.arange(int(seconds * 22_050)) / 22_050
    phase = torch.cumsum(110 + 20 * seed + 40 * torch.sin(2 * torch.pi * 0.7 * time), 0) / 22_050
    voice = sum(torch.sin(2 * torch.pi * k * phase) / k for k in range(1, 12))
    return 0.1 * voice * (0.55 + 0.45 * torch.sin(2 * torch.pi * 3.3 * time))


def distance(codec, codes, mel) -> float:
    return (codec.decode_mel(codes)[..., : mel.shape[2]] - mel).abs().mean().item()


def test_a_refined_codec_is_nearer_to_speech_it_never_heard_and_the_more_so_when_codes_are_wrong():
    waveforms = [speechlike(seed) for seed in range(5)]
    plain = mel_rvq.fit(waveforms, SETTINGS.model_copy(update={"refine_steps": 0}), Path("."))
    refined = mel_rvq.fit(waveforms, SETTINGS, Path("."))
    unheard = speechlike(7)[None]
    mel, codes = mel_rvq.log_mel(unheard), refined.encode(unheard)
    assert torch.equal(codes, plain.encode(unheard)), "the refiner changes sound, never codes"
    wrong = some_wrong(codes, 16, 0.3, torch.Generator().manual_seed(0))
    gains = [distance(plain, c, mel) - distance(refined, c, mel) for c in (codes, wrong)]
    assert 0 < gains[0] < gains[1]


def test_an_untrained_refiner_changes_nothing():
    mel = torch.randn(2, 80, 20)
    assert torch.equal(MelRefiner(5)(mel), mel)


def test_an_output_frame_sees_no_further_than_it_says():
    torch.manual_seed(0)
    refiner, mel = MelRefiner(5).eval(), torch.randn(1, 80, 60)
    torch.nn.init.normal_(refiner.last.weight)
    near, far = mel.clone(), mel.clone()
    near[..., 30 + REACH_MEL_FRAMES] += 1
    far[..., 30 + REACH_MEL_FRAMES + 1] += 1
    assert not torch.allclose(refiner(near)[..., 30], refiner(mel)[..., 30])
    assert torch.allclose(refiner(far)[..., 30], refiner(mel)[..., 30], atol=1e-6)


def test_a_refined_codec_comes_back_from_its_folder(tmp_path):
    codec = mel_rvq.fit([speechlike(0)], SETTINGS.model_copy(update={"refine_steps": 3}), tmp_path)
    codec.save(tmp_path)
    codes = codec.encode(speechlike(1)[None])
    assert torch.equal(mel_rvq.load(SETTINGS, tmp_path, tmp_path).decode_mel(codes), codec.decode_mel(codes))


@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 3))
def test_wrong_codes_spoil_a_frame_from_one_codebook_on(books, frames, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.full((2, books, frames), 999)  # no random code is 999
    spoiled = some_wrong(codes, 512, 0.5, generator) != codes
    assert (spoiled[:, 1:] >= spoiled[:, :-1]).all()
    assert not (some_wrong(codes, 512, 0.0, generator) != codes).any()
