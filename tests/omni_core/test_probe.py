import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import PromotionError
from data_contracts.ingest import Manifest
from omni_core import probe
from omni_core.audio import decode, encode_flac, encode_wav
from omni_core.probe import check_answer, check_proof, fingerprint, probe_questions, write_proof

SPEECH = encode_wav(0.3 * np.sin(np.arange(16_000) / 20).astype(np.float32), 16_000)
SILENCE = encode_wav(np.zeros(16_000, np.float32), 16_000)
CLICK = encode_wav(np.full(100, 0.5, np.float32), 16_000)


def test_an_answer_without_a_sample_is_none():
    with pytest.raises(PromotionError, match="version 1 answered its probe with '' and no sound"):
        check_answer(encode_wav(np.zeros(0, np.float32), 16_000), "", "version 1")


def test_probes_are_validation_questions_first_and_never_of_the_sealed_test_split(store):
    with store.scratch(Manifest.kind) as folder:
        for place, splits in (
            ("utterances", ("train", "validation", "train", "validation")),
            ("sealed", ("test",) * 5),
        ):
            (folder / place).mkdir()
            rows = [
                {"split": split, "audio": encode_wav(np.full(160, len(place) / 100 + n / 10, np.float32), 16_000)}
                for n, split in enumerate(splits)
            ]
            pq.write_table(pa.Table.from_pylist(rows), folder / place / "question-00-00000.parquet")
        manifest = store.commit(Manifest, folder)
    peaks = [round(float(decode(wav)[0].max()), 1) for wav in probe_questions(store, manifest)]
    assert peaks == [0.2, 0.4, 0.1]  # the two of validation, then training's first


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
