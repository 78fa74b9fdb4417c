"""Silent answers and answers cut off while speaking are told from whole ones."""

import numpy as np
import pytest

from omni_core.audio import decode
from omni_core.metrics.truncation import is_cut_off, is_silent


@pytest.fixture(scope="module")
def speech(spoken):
    return decode(spoken["The kitchen lights are now on."])


def test_a_whole_answer_is_neither(speech):
    waveform, rate = speech
    assert not is_silent(waveform) and not is_cut_off(waveform, rate)


def test_an_answer_that_stops_in_a_vowel_is_cut_off(speech):
    waveform, rate = speech
    loudest = int(np.argmax(np.abs(waveform)))
    assert is_cut_off(waveform[: loudest + 200], rate)


def test_zeros_and_nothing_are_silent():
    assert is_silent(np.zeros(1000, np.float32)) and is_silent(np.zeros(0, np.float32))
    assert is_silent(np.full(1000, 1e-4, np.float32)) and not is_silent(np.full(1000, 0.01, np.float32))
