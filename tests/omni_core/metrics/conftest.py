"""A turn to start from: a perfect answer of nothing but zeros, changed by what a test is about."""

import dataclasses

import numpy as np
import pytest

from omni_core import components
from omni_core.metrics import AnsweredTurn

SILENCE = np.zeros(2_400, np.float32)
PERFECT = AnsweredTurn("t", "a", "a", "a", "a", SILENCE, 24_000, "a", SILENCE, 24_000)


@pytest.fixture(scope="session")
def turn():
    """turn(spoken_text=..., waveform=...) -> AnsweredTurn."""
    return lambda **changes: dataclasses.replace(PERFECT, **changes)


@pytest.fixture(scope="session")
def english():
    """The English pack."""
    return components.load("languages", "en")


@pytest.fixture
def load(english):
    """load("silence") -> the metric for English, one thread."""
    return lambda name: components.load("metrics", name, english, 1)
