"""Loudness as ITU-R BS.1770-4 defines it, and two clips at the same."""

import numpy as np
import pytest

from omni_core.listening_test.loudness import HIGHEST_PEAK, drowned, loudness_lufs, matched

TOLERANCE_LU = 0.1
"""Of a meter, by EBU Tech 3341; ours is 0.00 off at 48 kHz and 0.03 at 16 kHz, for which BS.1770 states no filter."""


def sine(dbfs, hz=997, seconds=2.0, rate=48_000):
    return 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_a_full_scale_tone_of_997_hz_in_one_channel_is_minus_3_01_lufs(rate):
    # ITU-R BS.1770-4, annex 1: "-3.01 LKFS" for a 0 dBFS 997 Hz sine at one front input
    assert loudness_lufs(sine(0, rate=rate), rate) == pytest.approx(-3.01, abs=TOLERANCE_LU)
    assert loudness_lufs(sine(-20, rate=rate), rate) == pytest.approx(-23.01, abs=TOLERANCE_LU)


def test_a_pause_does_not_make_speech_quieter():
    # EBU Tech 3341, test 3 (stereo there, so 3 LU more): 10 s of -36, 60 s of -23, 10 s of -36 read -23.0 +- 0.1
    clip = np.concatenate([sine(-36, 1000, 10), sine(-23, 1000, 60), sine(-36, 1000, 10)])
    assert loudness_lufs(clip, 48_000) + 3.01 == pytest.approx(-23, abs=TOLERANCE_LU)


def test_a_clip_shorter_than_a_block_has_the_loudness_of_its_repetition():
    assert loudness_lufs(sine(-20, 1000, 0.05), 48_000) == pytest.approx(
        loudness_lufs(sine(-20, 1000), 48_000), abs=0.1
    )
    assert loudness_lufs(np.zeros(100), 48_000) == -np.inf


def test_clips_of_any_level_leave_at_the_target():
    clips = matched([sine(-6, 300), sine(-40, 2000)], 48_000, -23)
    assert [loudness_lufs(clip, 48_000) for clip in clips] == pytest.approx([-23, -23], abs=0.02)


def test_a_peak_that_would_clip_lowers_both_clips_equally():
    click = sine(-50)
    click[1000] = 0.9  # little loudness, much peak
    clips = matched([click, sine(-20)], 48_000, -14)
    assert max(np.abs(clip).max() for clip in clips) == pytest.approx(HIGHEST_PEAK)
    assert loudness_lufs(clips[0], 48_000) == pytest.approx(loudness_lufs(clips[1], 48_000), abs=0.02)
    assert loudness_lufs(clips[1], 48_000) < -14


def test_the_noise_of_an_attention_check_is_as_strong_as_the_clip():
    clip = sine(-20).astype(np.float32)
    noise = drowned(clip, np.random.default_rng(0)) - clip
    assert 20 * np.log10(noise.std() / clip.std()) == pytest.approx(0, abs=0.1)
