"""Retention is right answers heard over right answers read, each turn by answer_accuracy's rule."""

import numpy as np
import pytest

from data_contracts.errors import MetricError

RIGHT, WRONG = "The lights are on.", "The lights are off."


def arrays(columns):
    return {name: np.array([np.nan if v is None else v for v in values]) for name, values in columns.items()}


def test_by_hand_three_heard_of_four_read(load, turn):
    metric = load("cascade_retention")
    cases = [(RIGHT, RIGHT)] * 2 + [(WRONG, RIGHT)] * 2 + [(RIGHT, WRONG), (WRONG, WRONG), (RIGHT, None)]
    columns = arrays(metric.score([turn(reference_text=RIGHT, spoken_text=h, text_in_answer=r) for h, r in cases]))
    text_in, retention = metric.figures
    assert text_in.of(columns) == pytest.approx(4 / 6) and text_in.count(columns) == 6
    assert retention.of(columns) == pytest.approx(3 / 4)


def test_it_agrees_with_answer_accuracy(load, turn):
    turns = [
        turn(reference_text=RIGHT, spoken_text=t, text_in_answer=RIGHT) for t in (RIGHT, WRONG, "", "the lights are on")
    ]
    assert (
        load("cascade_retention").score(turns)["speech_in_correct"] == load("answer_accuracy").score(turns)["correct"]
    )


def test_nothing_right_in_text_cannot_be_retained(load, turn):
    metric = load("cascade_retention")
    columns = arrays(metric.score([turn(reference_text=RIGHT, text_in_answer=WRONG)]))
    with pytest.raises(MetricError, match=r"cascade_retention cannot be computed.*evaluate more turns"):
        metric.figures[1].of(columns)
