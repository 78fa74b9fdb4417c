"""The rows hold every pair, the page in docs is about these rows and all of them passed, and one of them is run here."""

from itertools import combinations, product
from types import SimpleNamespace

import pytest

from benchmarks import pairs as benchmark
from data_contracts.base import choices
from tests.flows import pairs, tiny

PAGE = tiny.REPOSITORY / "docs" / "pairs.md"
FAR_FROM_THE_OTHER_FLOWS = ("gemma3", "wav2vec2", "encodec", "talker")
"""Of which the other tests of the flow run none but the head."""


def test_every_two_values_of_two_factors_meet_in_a_row():
    rows = pairs.covering_rows(pairs.FACTORS)
    for (a, left), (b, right) in combinations(enumerate(pairs.FACTORS.values()), 2):
        assert {(row[a], row[b]) for row in rows} == set(product(left, right))


def test_there_are_hardly_more_rows_than_the_two_largest_factors_need():
    sizes = sorted(map(len, pairs.FACTORS.values()))
    assert len(pairs.covering_rows(pairs.FACTORS)) <= 1.1 * sizes[-1] * sizes[-2]


def test_three_switches_need_four_rows_and_not_eight():
    assert len(pairs.covering_rows(dict.fromkeys("abc", ("on", "off")))) == 4


def test_every_codec_encoder_and_head_that_there_is_stands_in_the_rows(tmp_path):
    encoders = {pairs.tiny_encoders.WRITERS[name][0] for name in pairs.FACTORS["encoder"]}
    codecs = {"mel_rvq", *(member for member, _ in pairs.tiny_codecs.WRITERS.values())}
    assert (encoders, codecs) == (set(choices("encoders")), set(choices("codecs")))
    assert set(pairs.FACTORS["speech_head"]) == set(choices("speech_heads"))


def test_the_page_is_about_these_rows_and_every_one_has_passed():
    assert PAGE.is_file(), "docs/pairs.md is written by `python benchmarks/pairs.py`"
    assert sorted(benchmark.passed_before()) == sorted(pairs.covering_rows(pairs.FACTORS)), "run benchmarks/pairs.py"


def test_a_row_has_passed_when_its_own_model_was_promoted(tmp_path):
    def done(promoted, passed=True):
        promotion = {"promoted": promoted, "version": "3", "reason": "worse"}
        return SimpleNamespace(promotion=SimpleNamespace(facts=promotion),
                               consistency=SimpleNamespace(facts={"passed": passed, "reasons": ["codes differ"]}))  # fmt: skip

    assert benchmark.outcome_of(done(True)) == "passed"
    assert benchmark.outcome_of(done(False)) == "not promoted: worse"
    assert benchmark.outcome_of(done(True, passed=False)) == "not consistent: codes differ"
    said = benchmark.open_bounds(pairs.settings_of(("qwen2", "log_mel", "mel_rvq", "parallel"), tmp_path))
    assert "`max_own_speech_wer` 100 (0.6)" in said and "`max_speech_on_silence_s` 60 (0)" in said


@pytest.mark.timeout(600)
def test_a_row_runs_through_the_flow(tmp_path, prefect_server):
    from flows.retrain import retrain

    outcome = retrain(pairs.settings_of(FAR_FROM_THE_OTHER_FLOWS, tmp_path))
    assert outcome.consistency.facts["passed"] and outcome.promotion.facts["promoted"]
