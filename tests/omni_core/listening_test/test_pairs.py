"""What is compared with what, and what is set aside with which reason."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import ArtifactError, SourceError
from data_contracts.evaluate import EvaluationReport
from omni_core.audio import decode, encode_ogg, encode_wav
from omni_core.listening_test.pairs import open_side, pair_up


@pytest.fixture
def make_report(store, sides):
    """make_report(kept, sealed_set=, gain=) -> EvaluationReport of four turns with the audio of the `kept` ones."""

    def make(kept, sealed_set="a" * 32, gain=1.0) -> EvaluationReport:
        with store.scratch(EvaluationReport.kind) as folder:
            (folder / "clips").mkdir()
            rows = {"turn_id": [f"turn-{i}" for i in range(4)], "question_text": [f"Question {i}?" for i in range(4)],
                    "clip": [f"{i:04d}" if i in kept else None for i in range(4)], "gain": [gain] * 4}  # fmt: skip
            pq.write_table(pa.table(rows), folder / "per_utterance.parquet")
            for number in kept:
                waveform, rate = decode(sides[0] / f"clip-{number}.wav")
                (folder / "clips" / f"{number:04d}-answer.ogg").write_bytes(
                    encode_ogg(np.tanh(8 * waveform) / 2 * gain, rate)
                )
            return store.commit(EvaluationReport, folder, facts={"sealed_set": sealed_set})

    return make


def test_reports_pair_the_answers_that_both_have_kept_and_show_the_question(store, make_report):
    a, b = make_report({0, 1, 2}), make_report({1, 2, 3}, gain=0.5)
    pairs, aside = pair_up(open_side(store, a.digest), open_side(store, b.digest[:10]))
    assert [(pair.name, pair.context) for pair in pairs] == [("turn-1", "Question 1?"), ("turn-2", "Question 2?")]
    assert {one.name: one.reason for one in aside} == {
        "turn-0": f"no clip of '{b.digest[:8]}' was kept", "turn-3": f"no clip of '{a.digest[:8]}' was kept"}  # fmt: skip


def test_a_reports_folder_is_as_good_as_its_digest(store, make_report):
    report = make_report({0})
    assert open_side(store, str(store.folder(report))) == open_side(store, report.digest)


def test_reports_of_other_questions_are_refused(store, make_report):
    a, b = make_report({0}), make_report({0}, sealed_set="b" * 32)
    with pytest.raises(ArtifactError, match=r"asked different questions.*evaluate both on one manifest"):
        pair_up(open_side(store, a.digest), open_side(store, b.digest))


def test_an_altered_report_is_refused(store, make_report):
    report = make_report({0, 1})
    clip = store.folder(report) / "clips" / "0001-answer.ogg"
    clip.write_bytes(clip.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="was altered"):
        open_side(store, report.digest)


def test_folders_pair_equal_names_and_account_for_every_other_one(store, sides):
    a, b = sides
    (a / "only-a.wav").write_bytes((a / "clip-0.wav").read_bytes())
    (b / "clip-1.wav").write_bytes((a / "clip-1.wav").read_bytes())
    rate = 16_000
    (b / "clip-2.wav").write_bytes(encode_wav(np.zeros(rate), rate))
    pairs, aside = pair_up(open_side(store, str(a)), open_side(store, str(b)))
    assert [pair.name for pair in pairs] == ["clip-0", "clip-3", "clip-4", "clip-5"]
    reasons = {one.name: one.reason for one in aside}
    assert reasons["only-a"] == "not in 'b'" and reasons["clip-2"] == "silent in 'b'"
    assert reasons["clip-1"].startswith("the same audio on both sides")
    assert len(pairs) + len(aside) == 7


def test_other_sample_rates_meet_at_the_higher_one(store, sides):
    from omni_core.audio import resample

    a, b = sides
    waveform, rate = decode(b / "clip-0.wav")
    (b / "clip-0.wav").write_bytes(encode_wav(resample(waveform, rate, 2 * rate), 2 * rate))
    pair = pair_up(open_side(store, str(a)), open_side(store, str(b)))[0][0]
    assert pair.sample_rate_hz == 2 * rate and len(pair.a) == len(pair.b)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [("nowhere", "'nowhere' is no folder, and none of the evaluation reports"), ("empty", "holds no recording")],
)
def test_what_is_neither_report_nor_recordings_is_refused(store, tmp_path, monkeypatch, reference, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=sentence):
        open_side(store, reference)


def test_folders_without_a_common_name_are_refused(store, sides):
    a, b = sides
    for path in b.iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(SourceError, match=r"have no clip that can be compared \(clip-0: not in 'b'"):
        pair_up(open_side(store, str(a)), open_side(store, str(b)))
