"""The bootstrap draws speakers with their turns and reads ratios of sums: checked against slow and exact versions."""

import itertools

import numpy as np
import pytest

from omni_core.bootstrap import clusters_of, holm, replicate, widened, widening


def test_each_replicate_is_the_ratio_of_sums_over_the_turns_of_its_drawn_speakers():
    clusters = clusters_of(np.array(["a", "b", "a", "c", "b", "a"]))
    errors, words = np.array([0.0, 1, 3, 0, 2, 0]), np.array([4.0, 5, 6, 3, 7, 2])
    fast = replicate({"wer": (errors, words)}, clusters, 50, seed=3)["wer"]
    draws = np.random.default_rng(3).multinomial(3, [1 / 3] * 3, 50)
    for value, times in zip(fast, draws, strict=True):
        drawn = [t for speaker in range(3) for _ in range(times[speaker]) for t in range(6) if clusters[t] == speaker]
        assert value == pytest.approx(sum(errors[t] for t in drawn) / sum(words[t] for t in drawn))


def test_one_speaker_gives_the_exact_distribution_of_the_plain_bootstrap():
    values = np.array([0.0, 1.0, 5.0])
    exact = np.array([np.mean(values[list(turns)]) for turns in itertools.product(range(3), repeat=3)])
    drawn = replicate({"mean": (values, np.ones(3))}, clusters_of(np.array(["a"] * 3)), 20_000, seed=0)["mean"]
    for value in np.unique(exact):
        assert np.isclose(drawn, value).mean() == pytest.approx(np.isclose(exact, value).mean(), abs=0.015)


def test_speakers_that_differ_widen_the_interval():
    values = np.repeat([0.0, 1.0, 0.0, 1.0], 25)
    spread = [
        replicate({"m": (values, np.ones(100))}, clusters_of(np.array(speakers)), 1000, 0)["m"].std()
        for speakers in (["a"] * 100, np.repeat(list("abcd"), 25))
    ]
    assert spread[1] > 3 * spread[0]


def test_all_figures_are_read_on_the_same_draws():
    sums = {name: (np.array([0.0, 1.0, 2.0]), np.ones(3)) for name in ("one", "two")}
    drawn = replicate(sums, np.arange(3), 100, 0)
    assert np.array_equal(drawn["one"], drawn["two"])
    assert not np.array_equal(drawn["one"], replicate(sums, np.arange(3), 100, 1)["one"])


def test_a_replicate_without_a_scored_turn_is_not_a_number():
    drawn = replicate({"m": (np.array([3.0, 0.0]), np.array([1.0, 0.0]))}, np.arange(2), 100, 0)["m"]
    assert 10 < np.isnan(drawn).sum() < 40 and set(drawn[~np.isnan(drawn)]) == {3.0}


def test_few_speakers_widen_the_tail_and_many_leave_it():
    # c = 3: sqrt(3/2) * t(0.95, 2) / z(0.95) = 1.2247 * 2.9200 / 1.6449
    assert widening(3, 0.95) == pytest.approx(2.174, abs=0.001)
    assert widening(2000, 0.95) == pytest.approx(1, abs=0.002) and widening(1, 0.95) == 1
    assert widened(np.array([1.0, 2.0]), 1.0, 3, 0.95) == pytest.approx([1.0, 3.174], abs=0.001)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == pytest.approx({"a": 1.0, "b": 1.0})
