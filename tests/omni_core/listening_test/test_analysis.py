"""The statistics: against scipy's exact tests, against slow versions, and by simulation of raters who differ."""

import itertools

import numpy as np
import pytest
from scipy.stats import betabinom, binomtest

from omni_core.listening_test.analysis import binomial_tail, preference, share_bounds, sign_flip_p, tally


def tallies(session, hits, trials):
    return [tally(session("b" * h + "a" * (n - h), rater=f"r{i}"), 0) for i, (h, n) in enumerate(zip(hits, trials, strict=True))]  # fmt: skip


@pytest.mark.parametrize("hits", [0, 3, 10, 14, 20])
@pytest.mark.parametrize("is_abx", [False, True])
def test_one_answer_a_rater_is_the_exact_binomial_test_of_scipy(session, hits, is_abx):
    found = preference(tallies(session, [1] * hits + [0] * (20 - hits), [1] * 20), 0.95, guessing_is_fair=is_abx)
    greater, less = (binomtest(hits, 20, 0.5, alternative) for alternative in ("greater", "less"))
    assert found.p_higher == pytest.approx(greater.pvalue) and found.p_lower == pytest.approx(less.pvalue)
    assert found.lower == pytest.approx(greater.proportion_ci(0.95, "exact").low)
    assert found.upper == pytest.approx(less.proportion_ci(0.95, "exact").high)
    assert found.share == hits / 20 and found.effective_answers == pytest.approx(20)


def test_sign_flips_count_every_pattern_of_signs():
    surplus = np.array([4, -2, 0, 6, 1, -3])
    sums = [np.dot(signs, surplus) for signs in itertools.product((1, -1), repeat=len(surplus))]
    assert sign_flip_p(surplus) == pytest.approx(np.mean(np.array(sums) >= surplus.sum()))


def test_binomial_tail_is_scipys():
    assert binomial_tail(33, 50) == pytest.approx(binomtest(33, 50, alternative="greater").pvalue)


def test_raters_who_agree_with_themselves_are_no_more_than_raters():
    stubborn = share_bounds(np.array([20] * 7 + [0] * 5), np.full(12, 20), 0.95)
    coins = share_bounds(np.array([12, 11, 13, 12, 10, 12, 11, 13, 12, 11, 12, 11]), np.full(12, 20), 0.95)
    assert stubborn[2] < 12 and coins[2] > 12 * 10
    assert stubborn[0] < 0.36 and coins[0] > 0.5


def test_unanimous_raters_are_one_answer_each():
    assert share_bounds(np.array([20, 20, 20]), np.array([20, 20, 20]), 0.95)[0] == pytest.approx(0.05 ** (1 / 3))
    assert share_bounds(np.array([0]), np.array([9]), 0.95)[:2] == (0.0, pytest.approx(0.95))


def test_a_rater_who_always_picks_the_first_clip_adds_nothing():
    hits, trials = np.array([14, 13, 15, 12, 14, 13, 14]), np.full(7, 20)
    with_lazy = sign_flip_p(2 * np.append(hits, 10) - 20)  # b was first in exactly half of the pairs
    assert with_lazy == pytest.approx(sign_flip_p(2 * hits - trials))


@pytest.mark.parametrize("truth", [0.5, 0.45])  # no preference, and the default margin of the verdict
@pytest.mark.parametrize(("raters", "answers", "spread"), [(8, 20, 4.0), (12, 20, 2.0), (20, 10, 1e6), (12, 5, 8.0)])
def test_bounds_miss_and_p_values_err_in_at_most_five_percent(truth, raters, answers, spread):
    rng, trials, count = np.random.default_rng(1), 1000, np.full(raters, answers)
    hits = betabinom.rvs(answers, spread * truth, spread * (1 - truth), size=(trials, raters), random_state=rng)
    bounds = np.array([share_bounds(row, count, 0.95)[:2] for row in hits])
    allowed = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / trials)
    assert (bounds[:, 0] > truth).mean() <= allowed and (bounds[:, 1] < truth).mean() <= allowed
    assert np.mean([sign_flip_p(2 * row - answers) <= 0.05 for row in hits]) <= allowed


def test_a_rater_who_fails_a_check_is_left_out_with_the_reason(session):
    assert tally(session("abab", checks="..x"), 0).left_out == "failed 1 of 3 attention checks, at most 0 may fail"
    assert tally(session("abab", checks="..x"), 1).left_out is None
    assert tally(session("abab", checks="..."), 0).left_out is None


def test_a_rater_who_was_never_checked_is_left_out(session):
    assert tally(session("ab", unanswered=1), 0).left_out == "stopped before the first attention check"
    assert tally(session("", unanswered=1), 0).left_out == "answered nothing"
    assert tally(session("ab"), 0).left_out is None  # a test without checks


def test_checks_are_not_counted_as_answers(session):
    found = tally(session("abbb", checks="..."), 0)
    assert (found.trials, found.hits, found.checks, found.failed) == (4, 3, 3, 0)
    assert (tally(session("abbb", checks="...", x="abab"), 0).hits) == 3  # abx: hits are what X was
