"""The online test may be looked at after every answer: its error holds whenever one stops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from data_contracts.errors import MetricError
from omni_core.sequential import (
    GRID,
    TRUNCATION,
    bets,
    lower_bounds,
    paired_worth,
    passes,
    split_worth,
    stands,
    upper_bounds,
)


def streams(count, length, differ, gain, seed=0):
    """Paired answers: 1 where the challenger is better, -1 where it is worse."""
    chances = [(differ - gain) / 2, 1 - differ, (differ + gain) / 2]
    return np.random.default_rng(seed).choice([-1.0, 0.0, 1.0], (count, length), p=chances)


@pytest.mark.parametrize("differ", [0.02, 0.1, 0.6])
def test_stopping_at_will_errs_in_at_most_five_percent(differ):
    stopped = [passes(row, 0.0, -1, 1, 0.95)[-1] for row in streams(2000, 2000, differ, 0.0)]
    assert np.mean(stopped) <= 0.05


def test_a_t_test_that_is_looked_at_as_often_errs_more_than_three_times_as_often():
    values, seen = streams(500, 2000, 0.1, 0.0), np.arange(1, 2001)
    mean = np.cumsum(values, 1) / seen
    error = np.sqrt(np.maximum(np.cumsum(values**2, 1) / seen - mean**2, 1e-12) / seen)
    crossed = (mean > stdtrit(np.maximum(1, seen - 1), 0.95) * error)[:, 30:].any(1)
    assert crossed.mean() > 0.15


def test_both_bounds_hold_at_every_moment_at_once():
    gain, missed = 0.1, 0
    for row in streams(1000, 1000, 0.4, gain):
        missed += passes(row, gain, -1, 1, 0.95)[-1] + passes(-row, -gain, -1, 1, 0.95)[-1]
    assert missed / 1000 <= 0.10
    row = streams(1, 1000, 0.4, gain)[0]
    lower, upper = lower_bounds(row, -1, 1, 0.95), upper_bounds(row, -1, 1, 0.95)
    assert lower[0] == -1 and upper[0] == 1 and -0.1 < lower[-1] < gain < upper[-1] < 0.3
    assert (np.diff(lower) >= 0).all() and (np.diff(upper) <= 0).all()


def test_a_better_challenger_is_found_and_sooner_when_it_is_much_better():
    firsts = [
        np.median([passes(row, 0.0, -1, 1, 0.95).argmax() for row in streams(100, 4000, 0.3, gain)])
        for gain in (0.1, 0.2)
    ]
    assert firsts[1] < firsts[0] / 2 < 400
    assert stands(streams(1, 2000, 0.3, 0.2)[0], -1, 1, 0.95) == "BETTER"
    assert stands(streams(1, 2000, 0.3, -0.2)[0], -1, 1, 0.95) == "WORSE"
    assert stands(streams(1, 50, 0.1, 0.0)[0], -1, 1, 0.95) == "OPEN"


def test_worse_means_worse_by_more_than_the_margin():
    row = streams(1, 3000, 0.3, -0.1)[0]
    assert stands(row, -1, 1, 0.95, margin=0.02) == "WORSE" and stands(row, -1, 1, 0.95, margin=0.2) == "OPEN"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bounds_are_the_capital_written_out(values):
    worth, confidence = np.array(values), 0.8
    bounds = lower_bounds(worth, 0, 1, confidence)
    assert (np.diff(bounds) >= 0).all()
    stakes, best = bets(worth, confidence), 0.0
    for step in range(len(worth)):
        for mean in np.arange(1, GRID, 37) / GRID:
            capital = 1.0
            for t in range(step + 1):
                capital *= 1 + min(stakes[t], TRUNCATION / mean) * (worth[t] - mean)
            best = max(best, mean) if capital >= 1 / (1 - confidence) * (1 + 1e-9) else best
        assert bounds[step] >= best - 1e-12


def test_a_bet_knows_only_what_came_before():
    values = np.random.default_rng(1).random(50)
    changed = values.copy()
    changed[30:] = 1 - changed[30:]
    assert np.array_equal(bets(values, 0.95)[:31], bets(changed, 0.95)[:31])
    assert not np.array_equal(bets(values, 0.95)[31:], bets(changed, 0.95)[31:])


def test_split_traffic_has_the_gain_as_its_mean_and_its_error_holds():
    rng, share, missed = np.random.default_rng(2), 0.2, 0
    by_challenger = rng.random(200_000) < share
    scores = (rng.random(200_000) < np.where(by_challenger, 0.8, 0.7)).astype(float)
    assert split_worth(scores, by_challenger, share).mean() == pytest.approx(0.1, abs=0.01)
    for _ in range(400):
        served, scores = rng.random(1000) < share, (rng.random(1000) < 0.7).astype(float)
        missed += passes(split_worth(scores, served, share), 0.0, -1 / (1 - share), 1 / share, 0.95)[-1]
    assert missed / 400 <= 0.05


@pytest.mark.parametrize(("worth", "what"), [([0.5, float("nan")], "answer 2 is worth nan"), ([0.0, 0.0, 2.0], "answer 3 is worth 2"), ([], "there is no answer")])  # fmt: skip
def test_scores_that_are_no_numbers_or_out_of_range_are_refused(worth, what):
    with pytest.raises(MetricError, match=what):
        lower_bounds(np.array(worth), -1, 1, 0.95)
    with pytest.raises(MetricError, match="share of the traffic is 1"):
        split_worth(np.ones(2), np.ones(2, bool), 1.0)


def test_paired_worth_is_the_difference_of_the_scores():
    assert paired_worth(np.array([1.0, 0.0]), np.array([0.5, 0.5])).tolist() == [0.5, -0.5]
