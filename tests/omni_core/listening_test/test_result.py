"""What is said and stored about a finished test."""

import pyarrow.parquet as pq
import pytest
from scipy.stats import beta, t

from data_contracts.errors import MetricError
from data_contracts.listening_test import ListeningResult
from omni_core.listening_test.result import conclude


@pytest.fixture
def result_of(store, make_test, session):
    def make(*raters, **settings):
        sessions = [session(*picked, rater=f"r{i}") for i, picked in enumerate(raters)]
        return conclude(store, make_test(raters=7, **settings), sessions)

    return make


def test_seven_raters_who_agree_prove_a_preference(store, result_of):
    result = result_of(*[("bbbab", "...")] * 7)
    facts = result.facts
    assert facts["share"] == 0.8 and facts["p_higher"] == pytest.approx(2**-7) and facts["answers"] == 35
    effective = 35 * (t.ppf(0.95, 34) / t.ppf(0.95, 6)) ** 2  # 7 raters who are all alike
    low = 100 * beta.ppf(0.05, 0.8 * effective, 0.2 * effective + 1)
    high = 100 * beta.ppf(0.95, 0.8 * effective + 1, 0.2 * effective)
    assert facts["sentences"] == [
        f"b (b) was preferred to a (a) in 80.0 % of 35 answers by 7 raters (95% one-sided bounds {low:.1f} % and {high:.1f} %; "
        "sign flips of raters: p = 0.00781, one-sided): b is preferred to a"
    ]  # fmt: skip
    assert store.load(ListeningResult, result.digest) == result


def test_a_finished_test_is_analysed_once_and_more_raters_do_not_change_it(store, result_of):
    early = result_of(*[("bbbab", "...")] * 6)
    assert early.facts["sentences"][1].startswith("not finished")  # an early look is no result and stands for nothing
    planned = result_of(*[("abbab", "...")] * 7)
    assert planned.digest != early.digest and planned.facts["raters"] == 7
    again = result_of(*[("abbab", "...")] * 7, *[("bbbbb", "...")] * 7)
    assert again == planned
    assert result_of(*[("bbbbb", "...")] * 7, seed=1).digest != planned.digest  # another test: counted apart


def test_who_is_left_out_is_named_with_the_reason_and_everybody_is_accounted_for(result_of):
    facts = result_of(("bbab", "..."), ("aaaa", ".x."), ("baba", "xxx"), ("bbba", "...")).facts
    assert facts["left_out"] == [
        {"rater": "r1", "reason": "failed 1 of 3 attention checks, at most 0 may fail"},
        {"rater": "r2", "reason": "failed 3 of 3 attention checks, at most 0 may fail"},
    ]
    assert facts["raters_counted"] + len(facts["left_out"]) == 4
    assert "1 rater left out: failed 3 of 3 attention checks, at most 0 may fail" in facts["sentences"]
    assert facts["share"] == 6 / 8


def test_too_few_raters_are_said_to_prove_nothing(result_of):
    facts = result_of(("bbbb", "..."), ("bbbb", "...")).facts
    assert "no preference is shown" in facts["sentences"][0]
    assert facts["sentences"][1].startswith("not finished: 2 of 7 planned raters")
    assert facts["sentences"][2] == "2 raters cannot prove a preference at 95%, however much they agree; at least 5 can"


def test_abx_names_the_raters_who_hear_by_themselves(result_of):
    found, guessed = ("babab", "...", "babab"), ("bbbbb", "...", "ababa")
    facts = result_of(*[found] * 2, guessed, design="abx").facts
    assert facts["share"] == pytest.approx(12 / 15) and facts["p_higher"] == pytest.approx(576 / 2**15)
    assert facts["raters_who_hear"] == []  # 1/32 each, times three raters
    assert "the difference is heard; 0 of 3 raters hear it by themselves" in facts["sentences"][0]
    assert result_of(found, design="abx").facts["raters_who_hear"] == ["r0"]


def test_every_answer_is_kept_with_its_turn_and_whether_it_counts(store, result_of):
    result = result_of(("bbab", "..."), ("aaaa", ".x."))
    rows = pq.read_table(store.folder(result) / "answers.parquet").to_pylist()
    assert len(rows) == 14 and sum(row["is_counted"] for row in rows) == 7 and sum(row["is_check"] for row in rows) == 6
    assert rows[2]["name"] == "clip-2" and rows[2]["picked"] == "a"


def test_nobody_who_counts_is_an_error_that_says_why(result_of):
    with pytest.raises(MetricError, match=r"no rater who counts \(1 rater left out: failed 1 of 1.*invite more raters"):
        result_of(("ab", "x"))
    with pytest.raises(MetricError, match="nobody has answered yet"):
        result_of()
