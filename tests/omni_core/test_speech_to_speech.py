"""A whole model answers, and says so when it does not: silence, a question too long."""

import base64
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from data_contracts.errors import SourceError
from omni_core.answering_parts import answering_parts
from omni_core.speech_heads._talker_served import LOOP_TOKENS, in_a_loop
from tests.omni_core.tiny_model import write_model

RATE_HZ = 24_000


def test_saying_the_same_again_is_a_loop():
    once = list(range(LOOP_TOKENS))
    assert in_a_loop(once + once)
    assert in_a_loop([99, *once, 98, *once])


def test_an_answer_that_repeats_a_few_words_is_no_loop():
    once = list(range(LOOP_TOKENS))
    assert not in_a_loop(once)
    assert not in_a_loop(once + once[:-1])
    assert not in_a_loop(once[:-1] + once[:-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, speech):
    return write_model(tmp_path_factory.mktemp("model"), speech, RATE_HZ)


@pytest.fixture(scope="module")
def model(folder):
    from omni_core.speech_to_speech import SpeechToSpeech

    return SpeechToSpeech.load(folder, 1)


def test_another_talker_behind_the_same_answering_parts_writes_the_same_and_sounds_otherwise(
    folder, model, speech, tmp_path
):
    other = shutil.copytree(folder, tmp_path / "other")
    (weights,) = (other / "speak").glob("*.safetensors")
    torch.manual_seed(1)
    noisy = {k: w + 0.1 * torch.randn_like(w) if w.is_floating_point() else w for k, w in load_file(weights).items()}
    save_file(noisy, weights)
    assert answering_parts(folder, 1) == answering_parts(other, 1)
    ours, theirs = model.answer(speech, RATE_HZ), type(model).load(other, 1).answer(speech, RATE_HZ)
    assert (ours.heard_text, ours.text) == (theirs.heard_text, theirs.text) and ours.text
    assert not np.array_equal(ours.waveform, theirs.waveform)


def test_a_question_is_answered_in_words_and_sound(model, speech):
    answer = model.answer(speech, RATE_HZ)
    assert answer.outcome == "answered" and answer.text and len(answer.waveform)


@pytest.mark.parametrize("level", [0.0, 0.9e-3])
def test_silence_is_answered_with_nothing_and_said_to_be_so(model, level):
    answer = model.answer(np.full(16_000, level, np.float32), 16_000)
    assert (answer.outcome, answer.heard_text, answer.text, len(answer.waveform)) == ("nothing heard", "", "", 0)
    assert [len(chunk) for _, chunk in model.stream(np.zeros(16_000, np.float32), 16_000)] == [0]
    assert model.hear(np.zeros(16_000, np.float32), 16_000) == ""


def test_sound_in_which_no_word_is_heard_is_answered_with_nothing(model, speech, monkeypatch):
    monkeypatch.setattr(model.speaker.adapter, "listen", lambda features: ([], torch.zeros(0, 32)))
    assert model.answer(speech, RATE_HZ).outcome == "nothing heard"


def test_a_question_that_the_context_does_not_hold_is_one_sentence(model, speech, monkeypatch):
    monkeypatch.setattr(model.speaker, "context", 64)
    with pytest.raises(SourceError, match=r"with its answer that makes \d+ positions and the language model reads 64"):
        model.answer(speech, RATE_HZ)


def test_a_question_longer_than_the_encoders_window_is_not_cut_in_silence(model, speech, monkeypatch):
    monkeypatch.setattr(model.encoder, "max_samples", 16_000, raising=False)
    with pytest.raises(SourceError, match=r"lasts \d\.\d s and the encoder hears 1 s at once"):
        model.answer(speech, RATE_HZ)


def test_what_a_server_returns_says_that_nothing_was_heard(model):
    from omni_core.audio import encode_wav
    from tasks.served_model import Assistant

    assistant = Assistant()
    assistant.model = model
    wav = base64.b64encode(encode_wav(np.zeros(16_000, np.float32), 16_000)).decode()
    (row,) = assistant.predict(None, pd.DataFrame({"audio": [wav]})).to_dict("records")
    assert (row["outcome"], row["text"]) == ("nothing heard", "") and base64.b64decode(row["audio"])
