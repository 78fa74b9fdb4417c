"""What data can show, computed before their gain is looked at: against statsmodels, scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.power import TTestPower

from omni_core.bootstrap import Precision
from omni_core.power import detectable, grown, growth, power, units_to_exclude, unseen


@pytest.mark.parametrize("n", [4, 7, 20, 150])
@pytest.mark.parametrize("effect", [0.0, 0.1, 0.5, 1.5])
def test_power_is_that_of_statsmodels_paired_t_test(n, effect):
    known = Precision(1 / math.sqrt(n), n - 1)
    expected = TTestPower().power(effect, n, 0.05, alternative="larger")
    assert power(known, effect, 0.95) == pytest.approx(expected, abs=1e-6)


def test_growth_is_the_sample_size_that_statsmodels_solves_for():
    known = Precision(1 / math.sqrt(100), 100)  # degrees of freedom grow with the data
    expected = TTestPower().solve_power(0.2, alpha=0.05, power=0.8, alternative="larger")
    assert 100 * growth(known, 0.2, 0.95, 0.8) == pytest.approx(expected, abs=2)


def test_power_without_a_distance_is_the_level_and_grows_with_it():
    known = Precision(0.1, 6)
    assert power(known, 0.0, 0.95) == pytest.approx(0.05)
    values = [power(known, d, 0.95) for d in (0.1, 0.2, 0.4, 0.8)]
    assert values == sorted(values) and values[-1] > 0.99
    assert power(Precision(0.1, 2e4), 0.25, 0.95) == pytest.approx(power(Precision(0.1, 9e3), 0.25, 0.95), abs=1e-3)


@given(error=st.floats(1e-4, 10), freedom=st.floats(1.5, 500), wanted=st.floats(0.1, 0.95))
def test_a_detectable_gain_has_the_power_and_growth_needs_no_more(error, freedom, wanted):
    known = Precision(error, freedom)
    gain = detectable(known, 0.95, wanted)
    assert power(known, gain, 0.95) == pytest.approx(wanted, abs=1e-4)
    assert growth(known, gain, 0.95, wanted) == pytest.approx(1, abs=1e-3)
    times = growth(known, gain / 3, 0.95, wanted)
    assert power(grown(known, times), gain / 3, 0.95) == pytest.approx(wanted, abs=1e-4)


def test_no_amount_of_data_shows_what_is_not_there():
    known = Precision(0.1, 6)
    assert growth(known, 0.0, 0.95, 0.8) == growth(known, -1.0, 0.95, 0.8) == growth(known, 1e-9, 0.95, 0.8) == math.inf


def test_the_rule_of_three_is_scipys_exact_bound_of_no_event():
    for trials in (10, 60, 150):
        exact = binomtest(0, trials, alternative="less").proportion_ci(0.95, method="exact").high
        assert unseen(trials, 0.95) == pytest.approx(exact) == pytest.approx(3 / trials, rel=0.15)
    assert units_to_exclude(unseen(123, 0.95), 0.95) == pytest.approx(123)
    assert units_to_exclude(0.0, 0.95) == math.inf and units_to_exclude(1.0, 0.95) == 1


def test_the_planned_power_is_how_often_an_equal_model_clears():
    rng, clusters, margin = np.random.default_rng(0), 12, 0.5
    sampled = rng.normal(0, 0.8, (4000, clusters))
    error = sampled.std(1, ddof=1) / math.sqrt(clusters)
    cleared = [
        Precision(e, clusters - 1).bounds(m, 0.95)[0] > -margin for e, m in zip(error, sampled.mean(1), strict=True)
    ]
    assert np.mean(cleared) == pytest.approx(
        power(Precision(0.8 / math.sqrt(clusters), clusters - 1), margin, 0.95), abs=0.03
    )
