"""Augmentation does what its numbers say, and the same for the same generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.ingest import VoiceSettings
from omni_core import augment, measures
from omni_core.teacher import load_voice

RATE_HZ = 16_000


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE_HZ * seconds)) / RATE_HZ)).astype(np.float32)


def loudest_hz(waveform: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(waveform))) * RATE_HZ / len(waveform))


@given(st.floats(0, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_noise_is_added_at_the_stated_ratio(snr_db: float, seed: int):
    clean = tone(300)
    noise = augment.add_noise(clean, snr_db, np.random.default_rng(seed)) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.15])
def test_pitch_is_shifted_by_the_factor_and_the_duration_shrinks_by_it(factor: float):
    shifted = augment.shift_pitch(tone(500), RATE_HZ, factor, RATE_HZ)
    assert loudest_hz(shifted) == pytest.approx(500 * factor, rel=0.01)
    assert len(shifted) == pytest.approx(RATE_HZ / factor, rel=0.001)


def test_a_room_is_a_direct_path_and_a_tail_that_decays_60_db():
    response = augment.room_impulse_response(RATE_HZ, np.random.default_rng(5))
    tail = response[1:] ** 2
    assert response[0] == 1.0 and 0.06 <= tail.sum() <= 0.51  # 3 to 12 dB under the direct path
    tenth = len(tail) // 10
    assert 10 * np.log10(tail[:tenth].mean() / tail[-tenth:].mean()) == pytest.approx(54, abs=4)


def test_a_room_delays_nothing_and_keeps_the_length():
    click = np.zeros(RATE_HZ, np.float32)
    click[1_000] = 0.5
    wet = augment.add_room(click, RATE_HZ, np.random.default_rng(1))
    assert len(wet) == len(click) and np.argmax(np.abs(wet)) == 1_000 and np.abs(wet[:1_000]).max() < 1e-6


def test_variations_stay_in_the_ranges_of_the_settings():
    random, ranges = np.random.default_rng(0), VoiceSettings(question_room_fraction=0.5)
    drawn = [augment.draw_variation(ranges, random) for _ in range(300)]
    assert all(0.85 <= one.speed <= 1.2 and 0.85 <= one.pitch <= 1.15 and 15 <= one.noise_snr_db <= 40 for one in drawn)
    assert 0.35 < np.mean([one.room for one in drawn]) < 0.65


@pytest.fixture(scope="module")
def voice():
    return load_voice("hibari")


def test_a_varied_question_depends_on_its_seed_alone(voice):
    def spoken(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        return augment.speak_varied(voice, "What time is it?", augment.draw_variation(VoiceSettings(), random), random)

    first, other = spoken(1), spoken(2)
    assert np.array_equal(first, spoken(1)) and not np.array_equal(first, other)
    assert np.abs(first).max() <= augment.LOUDEST


def test_the_pace_of_a_question_does_not_follow_its_pitch(voice):
    text, plain = "Set a timer for ten minutes.", len(voice.speak("Set a timer for ten minutes.")) * 16 / 24
    for pitch in (0.85, 1.15):
        random = np.random.default_rng(0)
        length = len(augment.speak_varied(voice, text, augment.Variation(1.0, pitch, 40.0, False), random))
        assert abs(np.log(length / plain)) < abs(np.log(pitch)), "nearer to the plain pace than resampling alone"


@pytest.mark.parametrize("snr_db", [5.0, 10.0, 20.0, 40.0])
def test_the_estimated_snr_of_speech_is_within_3_db_of_the_noise_added(voice, snr_db: float):
    noisy = augment.add_noise(voice.speak("Your timer is set for ten minutes."), snr_db, np.random.default_rng(3))
    assert measures.snr_db(measures.frame_power_db(noisy, 24_000)) == pytest.approx(snr_db, abs=3)
