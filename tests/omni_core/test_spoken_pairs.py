"""Frames are paired on the cheapest path, pitch is the pitch that was put in, and the cepstrum is the envelope in other coordinates."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_core.audio import decode, resample
from omni_core.metrics.log_f0 import correlation, log_curves, rmse
from omni_core.metrics.mel_cepstral_distortion import DB_A_UNIT, distortion_db
from omni_core.spoken_pairs import (
    COEFFICIENTS,
    SAMPLE_RATE_HZ,
    SpokenPair,
    analyse,
    cheapest_path,
    mel_cepstrum,
    pairs_of_same_words,
    side_by_side,
    speech_of,
)  # fmt: skip


def tone(hz, seconds=1.0, rate=SAMPLE_RATE_HZ):
    time = np.arange(round(seconds * rate)) / rate
    return 0.1 * sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 15))


@pytest.fixture(scope="module")
def speech(spoken):
    return decode(spoken["Your timer is set for ten minutes."])


def slow_cost(a, b):
    """The definition of dynamic time warping, cell by cell (Sakoe and Chiba 1978, symmetric steps of weight 1)."""
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            cost[i + 1, j + 1] = np.linalg.norm(x - y) + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return cost[-1, -1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
def test_the_library_path_costs_what_the_slow_one_costs(rows, columns, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rows, 3)), rng.normal(size=(columns, 3))
    path = [(int(i), int(j)) for i, j in cheapest_path(a, b)]
    assert path[0] == (0, 0) and path[-1] == (rows - 1, columns - 1)
    assert all((i2 - i, j2 - j) in {(0, 1), (1, 0), (1, 1)} for (i, j), (i2, j2) in pairwise(path))
    assert sum(np.linalg.norm(a[i] - b[j]) for i, j in path) == pytest.approx(slow_cost(a, b))


@pytest.mark.parametrize("hz", [90, 150, 220, 380])
def test_pitch_of_a_tone_is_its_fundamental(hz):
    f0_hz = analyse(tone(hz)).f0_hz[5:-5]
    assert np.median(f0_hz) == pytest.approx(hz, rel=0.01) and (f0_hz > 0).mean() > 0.9


def test_worlds_pitch_agrees_with_boersmas_on_speech(speech):
    import torch

    from omni_core.mel import SAMPLE_RATE_HZ as MEL_RATE_HZ
    from omni_core.prosody import PITCH_HOP, PITCH_RATE_HZ, frame_prosody

    waveform, rate = speech
    boersma = frame_prosody(torch.from_numpy(np.array(resample(waveform, rate, MEL_RATE_HZ))))[0].numpy()
    world = analyse(resample(waveform, rate, SAMPLE_RATE_HZ).astype(np.float64)).f0_hz
    times_s = np.arange(len(boersma)) * PITCH_HOP / PITCH_RATE_HZ
    at = np.minimum(np.rint(times_s * 100).astype(int), len(world) - 1)
    both = (boersma > 0) & (world[at] > 0)
    assert both.sum() >= 25
    assert np.median(np.abs(boersma[both] - np.log(world[at][both]))) < 0.03


def test_a_cosine_ripple_is_one_coefficient_and_its_root_mean_square_in_db():
    """Envelope +3 dB * cos(5 w) over the mel axis: MCD to the flat one is 3 / sqrt(2) dB, by hand."""
    bins = np.arange(513) / 512 * SAMPLE_RATE_HZ / 2
    w = np.pi * np.log10(1 + bins / 700) / np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    ripple = mel_cepstrum(10 ** (3 * np.cos(5 * w)[None] / 10))
    flat = mel_cepstrum(np.ones((1, 513)))
    assert ripple.shape == (1, COEFFICIENTS) and np.abs(ripple[0]).argmax() == 4
    assert DB_A_UNIT * np.linalg.norm(ripple - flat) == pytest.approx(3 / np.sqrt(2), rel=0.01)


def test_loudness_is_no_coefficient():
    power = np.random.default_rng(0).uniform(0.5, 2.0, (3, 513))
    assert np.allclose(mel_cepstrum(4 * power), mel_cepstrum(power))


def test_a_recording_beside_itself_has_no_distance(speech):
    waveform, rate = speech
    pair = side_by_side(waveform, rate, waveform, rate)
    assert distortion_db(pair) == 0 and rmse(*log_curves(pair)) == 0 and correlation(*log_curves(pair)) > 0.999999
    assert pair.own_s == pair.teacher_s == pytest.approx(len(waveform) / rate, abs=0.8)


def test_loudness_and_silence_around_do_not_count_and_noise_does(speech):
    waveform, rate = speech
    quieter = np.concatenate([np.zeros(rate // 2), 0.5 * waveform, np.zeros(rate)]).astype(np.float32)
    noisy = waveform + np.random.default_rng(0).normal(0, 0.02, len(waveform)).astype(np.float32)
    same, other = (side_by_side(w, rate, waveform, rate) for w in (quieter, noisy))
    assert same.own_s == pytest.approx(same.teacher_s, abs=0.06)
    assert distortion_db(same) < 1.5 < 5 < distortion_db(other)


def test_a_higher_voice_has_the_same_melody_at_another_height(speech):
    waveform, rate = speech
    pair = side_by_side(resample(waveform, rate, round(0.85 * rate)), rate, waveform, rate)
    own, teacher = log_curves(pair)
    assert np.median(own - teacher) == pytest.approx(-np.log(0.85), abs=0.02)
    assert rmse(own, teacher) > 0.1 and correlation(own, teacher) > 0.8
    assert pair.own_s / pair.teacher_s == pytest.approx(0.85, abs=0.03)


def test_sides_without_speech_have_no_pair(speech):
    waveform, rate = speech
    for silent in (
        np.zeros(0, np.float32),
        np.zeros(rate, np.float32),
        np.full(rate, 1e-4, np.float32),
        waveform[:100],
    ):
        assert side_by_side(silent, rate, waveform, rate) is None and side_by_side(waveform, rate, silent, rate) is None
    assert len(speech_of(np.zeros(0, np.float32), rate)) == 0


def test_only_turns_with_the_teachers_words_are_paired(speech):
    from omni_core.metrics import AnsweredTurn

    waveform, rate = speech

    def pair(said):
        turn = AnsweredTurn("a", "q", "Set for ten minutes.", "q", said, waveform, rate, "", waveform, rate)
        return pairs_of_same_words(turn, lambda text: text.lower().rstrip(".").split())

    assert isinstance(pair("set for ten minutes"), SpokenPair)
    assert pair("set for two minutes") is None and pair("") is None
