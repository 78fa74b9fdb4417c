"""Pitch and energy of sounds whose pitch and energy are known."""

import math

import pytest
import torch

from omni_core.mel import SAMPLE_RATE_HZ
from omni_core.prosody import frame_prosody, phoneme_means


def tone(hz, seconds=0.5):
    time = torch.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return sum(torch.sin(2 * math.pi * hz * k * time) / k for k in range(1, 6)) * 0.1


@pytest.mark.parametrize("hz", [90, 150, 220, 380])
def test_pitch_of_a_tone_is_its_fundamental(hz):
    log_f0, _ = frame_prosody(tone(hz))
    assert log_f0[3:-3].exp().median() == pytest.approx(hz, rel=0.03)


def test_noise_has_no_pitch():
    log_f0, _ = frame_prosody(0.1 * torch.randn(SAMPLE_RATE_HZ, generator=torch.Generator().manual_seed(0)))
    assert (log_f0 > 0).float().mean() < 0.1


def test_twice_the_amplitude_is_log_two_more_energy():
    quiet, loud = frame_prosody(tone(150))[1], frame_prosody(2 * tone(150))[1]
    assert (loud - quiet)[3:-3].mean() == pytest.approx(math.log(2), abs=0.01)


def test_means_over_phonemes_by_hand():
    values, durations = torch.tensor([1.0, 3.0, 0.0, 5.0, 0.0]), torch.tensor([2, 2, 1])
    assert phoneme_means(values, durations).tolist() == [2.0, 2.5, 0.0]
    assert phoneme_means(values, durations, only_nonzero=True).tolist() == [2.0, 5.0, 0.0]
