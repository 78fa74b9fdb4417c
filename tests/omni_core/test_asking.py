"""Several processes that are asked at once reply as one that is asked alone, in the order of the questions."""

from pathlib import Path

import numpy as np
import pytest

from data_contracts.errors import OmniError
from omni_core import asking
from omni_core.asking import ask, ask_side_by_side
from omni_core.sealed_set import SealedTurn
from tests.omni_core.tiny_model import write_model

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, speech):
    return write_model(tmp_path_factory.mktemp("model"), speech, RATE_HZ)


@pytest.fixture(scope="module")
def turns(speech):
    questions = [speech[: RATE_HZ // 2], np.zeros(RATE_HZ, np.float32), speech, speech[RATE_HZ // 4 :], speech[::2]]
    return [
        SealedTurn(f"t{number}", "", "", "", "", "", question, RATE_HZ, question, RATE_HZ)
        for number, question in enumerate(questions)
    ]


def test_asked_by_two_processes_a_model_replies_as_asked_by_one(folder, turns):
    from omni_core.speech_to_speech import SpeechToSpeech

    alone = ask(SpeechToSpeech.load(folder, threads=1), turns)
    told = []
    side_by_side = ask_side_by_side(folder, turns, 2, lambda done, total, what: told.append((done, total)))
    assert [(one.heard_text, one.text) for one in side_by_side] == [(one.heard_text, one.text) for one in alone]
    for one, other in zip(alone, side_by_side, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)
    assert len(alone[1].waveform) == 0 < len(alone[2].waveform)
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_process_that_is_ended_from_outside_is_one_sentence(tmp_path: Path, turns, monkeypatch):
    monkeypatch.setattr(asking, "_load", _die)
    with pytest.raises(OmniError, match=r"was ended from outside.*set evaluate.threads to 1"):
        ask_side_by_side(tmp_path, turns, 2)


def _die(folder: Path) -> None:
    import os

    os._exit(9)
