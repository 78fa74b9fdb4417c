"""The teacher voice speaks the same samples for the same seed, and says which voices there are."""

import numpy as np
import pytest

from data_contracts.errors import SettingsError
from omni_core import teacher
from omni_core.teacher import load_voice, voice_names


@pytest.fixture(scope="module")
def voice():
    return load_voice("hibari")


def test_the_same_text_and_seed_give_the_same_samples(voice):
    first, again = voice.speak("The light is on.", seed=3), voice.speak("The light is on.", seed=3)
    assert first.dtype == np.float32 and np.array_equal(first, again)
    assert not np.array_equal(first, voice.speak("The light is on.", seed=4))


def test_the_voice_names_its_speaker_and_rate(voice):
    assert (voice.name, voice.sample_rate_hz) == ("hibari/heart", 24_000)
    assert 0.5 < len(voice.speak("The light is on.")) / voice.sample_rate_hz < 3


def test_a_faster_pace_is_shorter(voice):
    assert len(voice.speak("The light is on.", speed=1.5)) < len(voice.speak("The light is on.", speed=0.8))


def test_silence_around_speech_is_trimmed_to_its_margins():
    waveform = np.zeros(48_000, np.float32)
    waveform[20_000:30_000] = 0.2
    trimmed = teacher.trim_silence(waveform, 24_000)
    assert len(trimmed) == 10_000 + 0.05 * 24_000 + 0.15 * 24_000 and trimmed[1_200] == np.float32(0.2)
    assert np.array_equal(teacher.trim_silence(trimmed, 24_000), trimmed)
    assert len(teacher.trim_silence(np.zeros(100, np.float32), 24_000)) == 100


def test_a_text_without_a_speakable_sign_is_silent(voice):
    assert len(voice.speak("")) == 0


@pytest.mark.parametrize("name", ["festival", "hibari/nobody"])
def test_an_unknown_voice_is_refused_with_the_names_of_all(name: str):
    with pytest.raises(SettingsError, match=rf"unknown voice '{name}'.*there are: hibari, hibari/heart"):
        load_voice(name)
    assert "hibari" in voice_names()
