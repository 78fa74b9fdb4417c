"""What tests of the page share: a prepared test of half-second tones, its answer book, and the application."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.listening_test import ListeningTestSettings
from flows.listening_test.server import application
from omni_core.audio import encode_wav
from omni_core.listening_test.answers import AnswerBook
from omni_core.listening_test.prepare import prepare
from omni_core.store import ArtifactStore

RATE = 16_000


@pytest.fixture
def sides(tmp_path):
    """Five tones of 0.5 s; b is one octave higher, so that a test can tell what it was given."""
    for number in range(5):
        for side, octave in (("a", 1), ("b", 2)):
            tone = np.sin(2 * np.pi * (200 + 20 * number) * octave * np.arange(RATE // 2) / RATE) / 4
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / f"tone-{number}.wav").write_bytes(encode_wav(tone, RATE))
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def served(tmp_path, sides):
    """served(**settings) -> (application, answer book, store, test); four trials and two checks unless told otherwise."""

    def make(**settings):
        store = ArtifactStore(tmp_path / "store")
        chosen = ListeningTestSettings(**{"pairs_per_rater": 4, "attention_checks": 2, **settings})
        test = prepare(store, *map(str, sides), chosen)
        book = AnswerBook(f"sqlite:///{tmp_path}/answers.db", test.digest)
        return application(store.folder(test), book), book, store, test

    return make
