import json

import numpy as np
import pytest

from data_contracts.errors import PromotionError
from omni_core import probe
from omni_core.audio import encode_flac, encode_wav
from omni_core.probe import check_answer, check_proof, fingerprint, write_proof

SPEECH = encode_wav(0.3 * np.sin(np.arange(16_000) / 20).astype(np.float32), 16_000)
SILENCE = encode_wav(np.zeros(16_000, np.float32), 16_000)
CLICK = encode_wav(np.full(100, 0.5, np.float32), 16_000)


def test_an_answer_without_a_sample_is_none():
    with pytest.raises(PromotionError, match="version 1 answered its probe with '' and no sound"):
        check_answer(encode_wav(np.zeros(0, np.float32), 16_000), "", "version 1")


def test_sound_with_a_text_is_an_answer():
    check_answer(SPEECH, "It is on.", "version 1")


@pytest.mark.parametrize(("wav", "text"), [(SILENCE, "It is on."), (CLICK, "It is on."), (SPEECH, " ")])
def test_silence_a_click_and_a_missing_text_are_no_answers(wav, text):
    with pytest.raises(PromotionError, match=r"version 1 answered its probe with .* the champion was not moved"):
        check_answer(wav, text, "version 1")


def test_a_fingerprint_is_of_the_samples_and_the_text_not_of_the_container():
    samples = 0.3 * np.sin(np.arange(16_000) / 20).astype(np.float32)
    assert fingerprint(SPEECH, "on") == fingerprint(encode_flac(samples, 16_000), "on")
    assert fingerprint(SPEECH, "on") != fingerprint(SPEECH, "off")
    samples[5] += 2 / 32_768
    assert fingerprint(SPEECH, "on") != fingerprint(encode_wav(samples, 16_000), "on")


def test_who_answers_as_before_passes_and_who_does_not_is_refused(tmp_path, monkeypatch):
    write_proof(tmp_path, lambda question: (question, "on"), [SPEECH, SPEECH], "the model")
    check_proof(tmp_path, lambda question: (question, "on"), "version 1")
    with pytest.raises(
        PromotionError, match="version 1 answered probe 1 with 'off' instead of 'on': it is not the model"
    ):
        check_proof(tmp_path, lambda question: (question, "off"), "version 1")
    with pytest.raises(PromotionError, match="with other sound for 'on'"):
        check_proof(tmp_path, lambda question: (encode_wav(np.full(9_000, 0.5), 16_000), "on"), "version 1")
    monkeypatch.setattr(probe, "machine", lambda: "a mainframe")
    with pytest.raises(PromotionError, match=r"it was proven on another machine .* this one: a mainframe"):
        check_proof(tmp_path, lambda question: (question, "off"), "version 1")


def test_a_proof_without_questions_proves_nothing(tmp_path):
    (tmp_path / probe.ANSWERS).write_text(json.dumps({"machine": "", "answers": []}))
    with pytest.raises(PromotionError, match="version 1 has no probes"):
        check_proof(tmp_path, lambda question: (question, "on"), "version 1")
