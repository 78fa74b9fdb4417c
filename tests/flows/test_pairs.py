"""The rows hold every pair, the page in docs is about these rows and all of them passed, and one of them is run here."""

import re
from itertools import combinations, product

import pytest

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


@pytest.mark.skipif(not PAGE.exists(), reason="docs/pairs.md is written by benchmarks/pairs.py, an hour of work")
def test_the_page_is_about_these_rows_and_every_one_has_passed():
    found = re.findall(r"^\| (\S+) \| (\S+) \| (\S+) \| (\S+) \| passed \| \d+ \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(found) == sorted(pairs.covering_rows(pairs.FACTORS)), "run benchmarks/pairs.py"


@pytest.mark.timeout(600)
def test_a_row_runs_through_the_flow(tmp_path, prefect_server):
    from flows.retrain import retrain

    outcome = retrain(pairs.settings_of(FAR_FROM_THE_OTHER_FLOWS, tmp_path))
    assert outcome.consistency.facts["passed"] and outcome.promotion.facts["promoted"]
