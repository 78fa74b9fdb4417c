"""The bootstrap draws speakers with their turns and reads ratios of sums: checked against slow and exact versions."""

import itertools

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from omni_core.bootstrap import Precision, clusters_of, draw, holm, percentiles, precision, ratios, small_sample

MANY = 20_000


def test_each_replicate_is_the_ratio_of_sums_over_the_turns_of_its_drawn_speakers():
    clusters = clusters_of(np.array(["a", "b", "a", "c", "b", "a"]))
    errors, words = np.array([0.0, 1, 3, 0, 2, 0]), np.array([4.0, 5, 6, 3, 7, 2])
    draws = draw(clusters, 50, seed=3)
    assert (draws.sum(1) == 3).all() and not np.array_equal(draws, draw(clusters, 50, seed=4))
    for value, times in zip(ratios(draws, clusters, errors, words), draws, strict=True):
        drawn = turns_of(times, clusters)
        assert value == pytest.approx(sum(errors[t] for t in drawn) / sum(words[t] for t in drawn))


def turns_of(times, clusters):
    """Every drawn turn, written out."""
    return [t for c, n in enumerate(times) for _ in range(n) for t in range(len(clusters)) if clusters[t] == c]


def test_percentiles_of_drawn_turns_are_those_of_the_turns_written_out(monkeypatch):
    monkeypatch.setattr("omni_core.bootstrap.AT_ONCE", 100)  # several pieces
    rng = np.random.default_rng(0)
    clusters, values = np.repeat(np.arange(5), [3, 9, 4, 7, 2]), rng.lognormal(0, 1, 25)
    draws = draw(clusters, 60, seed=1)
    for level in (0.5, 0.95):
        for value, times in zip(percentiles(draws, clusters, values, level), draws, strict=True):
            assert value == np.quantile(values[turns_of(times, clusters)], level, method="inverted_cdf")


def test_one_speaker_gives_the_exact_distribution_of_the_plain_bootstrap():
    values, clusters = np.array([0.0, 1.0, 5.0]), clusters_of(np.array(["a"] * 3))
    exact = np.array([np.mean(values[list(turns)]) for turns in itertools.product(range(3), repeat=3)])
    drawn = ratios(draw(clusters, MANY, 0), clusters, values, np.ones(3))
    for value in np.unique(exact):
        assert np.isclose(drawn, value).mean() == pytest.approx(np.isclose(exact, value).mean(), abs=0.015)


def test_a_replicate_without_a_scored_turn_is_not_a_number():
    clusters = np.arange(2)
    drawn = ratios(draw(clusters, 100, 0), clusters, np.array([3.0, 0.0]), np.array([1.0, 0.0]))
    assert 10 < np.isnan(drawn).sum() < 40 and set(drawn[~np.isnan(drawn)]) == {3.0}


def of_mean(values, clusters, replicates=MANY):
    weights = np.ones(len(values))
    drawn = ratios(draw(clusters, replicates, 0), clusters, values, weights)
    return precision(drawn, clusters, weights, (values - values.mean()) / len(values))


def test_equal_clusters_give_the_t_test_of_their_means():
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(7), 20)
    new, old = (rng.normal(0, 1, 140) + rng.normal(0, 1, 7)[clusters] for _ in range(2))
    means = [np.bincount(clusters, x) / 20 for x in (new, old)]
    scipys = ttest_rel(*means, alternative="greater")
    interval = scipys.confidence_interval(0.95)
    known, gain = of_mean(new - old, clusters), float(np.mean(new - old))
    assert known.degrees_of_freedom == pytest.approx(6)
    assert known.bounds(gain, 0.95)[0] == pytest.approx(interval.low, abs=0.02 * known.standard_error)
    assert known.p_value(gain) == pytest.approx(scipys.pvalue, abs=0.005)


def test_the_error_is_statsmodels_cluster_robust_one_times_the_correction():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(40), rng.integers(18, 23, 40))
    values = rng.normal(0, 1, len(clusters)) + rng.normal(0, 0.5, 40)[clusters]
    robust = OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    factor, _ = small_sample(clusters, np.ones(len(values)), values - values.mean())
    assert of_mean(values, clusters).standard_error == pytest.approx(factor * robust.bse[0], rel=0.02)


def test_the_correction_is_that_of_the_quadratic_form_written_out():
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(6), [5, 40, 10, 3, 22, 9])
    weights = rng.uniform(1, 2, len(clusters))
    w = np.bincount(clusters, weights) / weights.sum()
    s = np.bincount(clusters, (weights / weights.sum()) ** 2)
    residual = np.eye(6) - np.outer(w, np.ones(6))  # totals u -> u - w sum(u)
    for influence, v in ((np.zeros(len(clusters)), s), (weights * w[clusters] / w.max(), None)):
        factor, freedom = small_sample(clusters, weights, influence)
        if v is None:  # the totals have one sign: all variance that can be is between the clusters
            v = w**2
        form = residual.T @ residual @ np.diag(v)
        assert factor == pytest.approx(np.sqrt(v.sum() / np.trace(form)))
        assert freedom == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


def test_uneven_speakers_leave_fewer_degrees_of_freedom():
    rng = np.random.default_rng(5)
    for turns, low, high in (([20] * 7, 5.99, 6.01), ([2, 2, 2, 2, 2, 60, 70], 1, 3)):
        clusters = np.repeat(np.arange(7), turns)
        influence = rng.normal(0, 1, 7)[clusters]
        assert low < small_sample(clusters, np.ones(len(clusters)), influence)[1] < high


def test_speakers_that_differ_widen_the_interval():
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 25)
    alone, together = of_mean(values, np.arange(100)), of_mean(values, np.repeat(np.arange(4), 25))
    assert together.standard_error > 3 * alone.standard_error


def test_speakers_that_agree_by_luck_are_taken_for_independent_turns():
    values = np.tile([0.0, 1.0], 20)
    known = of_mean(values, np.repeat(np.arange(4), 10))
    assert known.standard_error == pytest.approx(0.5 / np.sqrt(40))
    assert of_mean(np.ones(40), np.repeat(np.arange(4), 10)).standard_error == 0


def test_many_turns_of_one_speaker_are_affordable():
    known = of_mean(np.random.default_rng(0).normal(0, 1, 3000), np.arange(3000), 1000)
    assert known == Precision(pytest.approx(1 / np.sqrt(3000), rel=0.1), pytest.approx(2999, abs=1))


def test_holm_is_statsmodels_and_multiplies_the_smallest_by_all():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    rng = np.random.default_rng(6)
    for _ in range(8):  # statsmodels takes 60 ms a call
        p_values = {str(i): float(p) for i, p in enumerate(rng.random(int(rng.integers(1, 7))) ** 3)}
        expected = multipletests(list(p_values.values()), method="holm")[1]
        assert [holm(p_values)[name] for name in p_values] == pytest.approx(list(expected))


# ---------------------------------------------------------------- coverage, simulated (more: benchmarks/comparison.md)


def spoken(rng, speakers, turns, uneven=0.0):
    """Words and errors of two equal models by new speakers: some are hard, some suit one of the models."""
    share = rng.lognormal(0, uneven, speakers)
    owner = np.repeat(np.arange(speakers), np.maximum(1, np.round(share / share.sum() * speakers * turns)).astype(int))
    words, hard = rng.integers(4, 10, len(owner)).astype(float), rng.gamma(0.5, 2, len(owner))
    common = rng.normal(0, 0.5, speakers)
    sides = []
    for _ in range(2):
        effect = np.exp(common + rng.normal(0, 0.3, speakers))[owner]
        sides.append(rng.poisson(words * 0.13 * effect * (hard + rng.gamma(0.5, 2, len(owner))) / 2).astype(float))
    return owner, words, sides


def misses(trials, speakers, turns, uneven=0.0, plain=False):
    """Share of trials whose lower, and whose upper bound is beyond the truth, 0."""
    rng, found = np.random.default_rng(7), []
    for seed in range(trials):
        owner, words, (new, old) = spoken(rng, speakers, turns, uneven)
        drawn = draw(owner, 300, seed)
        values = ratios(drawn, owner, new, words) - ratios(drawn, owner, old, words)
        gain, total = float((new.sum() - old.sum()) / words.sum()), words.sum()
        influence = (new - new.sum() / total * words - old + old.sum() / total * words) / total
        bounds = (
            np.quantile(values, [0.05, 0.95])
            if plain
            else precision(values, owner, words, influence).bounds(gain, 0.95)
        )
        found.append((bounds[0] > 0, bounds[1] < 0))
    return np.mean(found, axis=0)


@pytest.mark.parametrize(("speakers", "turns", "uneven"), [(7, 20, 0.0), (12, 10, 0.5), (24, 6, 0.0)])
def test_each_bound_of_a_wer_gain_covers_in_95_percent_of_trials_give_or_take_one(speakers, turns, uneven):
    assert misses(4000, speakers, turns, uneven) == pytest.approx([0.05, 0.05], abs=0.01)


def test_the_plain_percentiles_would_not_hold_that():
    assert (misses(1000, 7, 20, plain=True) > 0.06).all()
