"""The embedding is resemblyzer's own, number by number; one voice is more alike to itself than to another."""

import importlib.util

import numpy as np
import pytest

from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from omni_core.audio import decode, resample
from omni_core.metrics import speaker_similarity
from omni_core.metrics.speaker_similarity import louder, partial_starts

RATE = 16_000
GOLDEN = {
    140.0: ([10, 11, 36, 42, 48, 49, 71, 82],
            [0.11527, 0.11387, 0.20105, 0.13551, 0.12549, 0.11504, 0.12945, 0.11630]),
    230.0: ([11, 28, 43, 49, 83, 92, 109, 111],
            [0.17632, 0.24947, 0.11814, 0.11623, 0.11255, 0.21423, 0.13582, 0.10281]),
}  # fmt: skip
"""Pitch of the buzz below -> places and values of its embedding by resemblyzer 0.1.4's VoiceEncoder.embed_utterance with
normalize_volume, on librosa 0.11.0: the first eight above 0.1."""


@pytest.fixture(scope="module")
def metric():
    return components.load("metrics", "speaker_similarity", None, 1)


def buzz(f0_hz):
    time = np.arange(round(2.6 * RATE)) / RATE
    phase = 2 * np.pi * (f0_hz * time + (f0_hz * 0.1 / (2 * np.pi * 3)) * np.sin(2 * np.pi * 3 * time))
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (0.05 * harmonics * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


@pytest.mark.parametrize("f0_hz", GOLDEN)
def test_the_embedding_is_that_of_resemblyzers_own_code(metric, f0_hz):
    places, values = GOLDEN[f0_hz]
    embedding = metric.embed(buzz(f0_hz), RATE)
    assert np.flatnonzero(embedding > 0.1)[:8].tolist() == places
    assert embedding[places] == pytest.approx(values, abs=2e-4) and np.linalg.norm(embedding) == pytest.approx(1)


def test_one_voice_is_more_like_itself_than_like_a_shifted_one(metric, turn, spoken, pairs):
    (first, rate), (second, _) = decode(spoken[pairs[3][1]]), decode(spoken[pairs[2][1]])
    shifted = resample(second, rate, round(0.75 * rate))
    taught = {"teacher_waveform": first, "teacher_sample_rate_hz": rate, "sample_rate_hz": rate}
    same, other, silent = metric.score([
        turn(waveform=w, **taught) for w in (second, shifted, np.zeros(rate, np.float32))
    ])["speaker_similarity"]  # fmt: skip
    assert 0.7 < same <= 1 and other < same - 0.1 and silent == 0


def test_the_ceiling_is_the_teachers_next_other_recording(metric, turn, spoken, pairs):
    clips = [decode(spoken[pairs[i][1]])[0] for i in (0, 3, 0)]
    turns = [turn(waveform=c, teacher_waveform=c) for c in clips]
    columns = metric.score(turns)
    expected = float(metric.embed(clips[0], 24_000) @ metric.embed(clips[1], 24_000))
    assert columns["teacher_speaker_similarity"] == pytest.approx([expected] * 3)
    assert columns["speaker_similarity"] == pytest.approx([1.0] * 3)
    assert metric.score(turns[:1])["teacher_speaker_similarity"] == [None]


def test_windows_cover_the_speech_and_a_mostly_empty_last_one_is_left_out():
    assert partial_starts(8_000) == [0] and partial_starts(160 * 160) == [0]
    assert partial_starts(160 * (77 + 130)) == [0, 77] and partial_starts(160 * (77 + 100)) == [0]


def test_only_quiet_speech_is_raised():
    assert np.sqrt(np.mean(louder(np.full(10, 1e-3)) ** 2)) == pytest.approx(10 ** (-30 / 20))
    assert louder(np.full(10, 0.5)).tolist() == [0.5] * 10


def test_other_weights_and_a_missing_package_are_refused_with_the_mend(monkeypatch):
    monkeypatch.setattr(speaker_similarity, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=r"expected sha256 0000.*install resemblyzer==0.1.4 again"):
        speaker_similarity.load(None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ComponentError, match="pip install --no-deps resemblyzer"):
        speaker_similarity.load(None)
