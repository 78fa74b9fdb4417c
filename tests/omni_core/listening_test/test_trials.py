"""Order, sides and checks: balanced for one rater and over all of them, whoever comes."""

from collections import Counter

import numpy as np
import pytest

from omni_core.listening_test.trials import Trial, plan

ITEMS = [f"{i:04d}" for i in range(10)]
CHECKS = ["check-00", "check-01", "check-02"]


def raters(count, items=ITEMS, checks=CHECKS, design="ab", pairs=6, seed=0):
    plans = []
    for number in range(count):
        plans.append(plan(items, checks, design, pairs, plans, np.random.default_rng([seed, number])))
    return plans


def real(trials):
    return [trial for trial in trials if not trial.is_check]


def test_half_of_every_raters_pairs_have_a_first():
    for trials in raters(40):
        assert len(real(trials)) == 6
        assert sum(trial.first == "a" for trial in real(trials)) == 3


def test_an_odd_number_of_pairs_is_halved_by_a_coin():
    counts = Counter(sum(trial.first == "a" for trial in real(trials)) for trials in raters(200, pairs=5))
    assert set(counts) == {2, 3} and 60 <= counts[2] <= 140


def test_over_all_raters_every_pair_is_heard_as_often_and_turned_as_often_as_not():
    given = [trial for trials in raters(40) for trial in real(trials)]
    heard, first_a = Counter(t.item for t in given), Counter(t.item for t in given if t.first == "a")
    assert set(heard.values()) == {24}
    assert all(abs(first_a[item] - 12) <= 1 for item in ITEMS)


def test_the_order_of_pairs_is_any_order():
    where = {item: [] for item in ITEMS}
    for trials in raters(400, pairs=10, checks=[]):
        for position, trial in enumerate(trials):
            where[trial.item].append(position)
    for positions in where.values():  # mean 4.5, standard error 2.87 / 20
        assert np.mean(positions) == pytest.approx(4.5, abs=4 * 2.87 / 20)


def test_a_check_is_never_first_and_there_is_one_in_each_part_of_the_session():
    for trials in raters(60):
        places = [position for position, trial in enumerate(trials) if trial.is_check]
        assert len(places) == 3 and places[0] >= 1
        before = [sum(not t.is_check for t in trials[:place]) for place in places]
        assert [(count - 1) // 2 for count in before] == [0, 1, 2]  # of six pairs, two a part


def test_which_side_of_a_check_is_clean_cannot_be_learned():
    firsts = Counter(t.first for trials in raters(200) for t in trials if t.is_check)
    assert abs(firsts["a"] - 300) < 4 * np.sqrt(600) / 2


def test_x_is_a_fair_coin_whatever_was_first():
    cells = Counter((t.first, t.x) for trials in raters(400, design="abx") for t in real(trials))
    assert all(abs(count - 600) < 4 * np.sqrt(2400 * 0.25 * 0.75) for count in cells.values()) and len(cells) == 4


def test_a_preference_has_no_right_answer_and_a_check_has_one():
    assert Trial("0001", "b", None, False).right is None and Trial("check-00", "b", None, True).right == "a"
    assert Trial("0001", "b", "b", False).right == "b" and Trial("0001", "b", None, False).second == "a"


def test_fewer_pairs_than_asked_for_are_all_heard_once():
    (trials,) = raters(1, items=ITEMS[:2], pairs=20)
    assert sorted(trial.item for trial in real(trials)) == ITEMS[:2]
    assert sum(trial.is_check for trial in trials) == 3
