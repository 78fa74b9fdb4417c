"""A slice's figure is formed from its own rows; the slices of a dimension share out all rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_core.metrics import Figure
from omni_core.slices import by_slice, length_slice, noise_slice

WER = Figure("wer", "fraction", "lower", "", "errors", "words")
ACCURACY = Figure("accuracy", "fraction", "higher", "", "right")


def test_by_hand_a_ratio_of_sums_not_a_mean_of_ratios():
    columns = {
        "errors": np.array([1.0, 0.0, 3.0]),
        "words": np.array([2.0, 8.0, 3.0]),
        "right": np.array([1.0, np.nan, np.nan]),
    }
    rows = by_slice([WER, ACCURACY], columns, {"speaker": ["a", "a", "b"]})
    assert [(r["slice"], r["figure"], r["value"], r["count"]) for r in rows] == [
        ("a", "wer", pytest.approx(0.1), 2), ("a", "accuracy", 1.0, 1), ("b", "wer", 1.0, 1)
    ]  # fmt: skip
    assert rows[0]["dimension"] == "speaker" and rows[0]["better"] == "lower"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.sampled_from("xyz")), min_size=1, max_size=20))
def test_slices_add_up_to_the_whole(rows):
    errors, words, members = (list(column) for column in zip(*rows, strict=True))
    columns = {"errors": np.array(errors, float), "words": np.array(words, float)}
    found = by_slice([WER], columns, {"speaker": members})
    weight = {name: sum(w for w, m in zip(words, members, strict=True) if m == name) for name in set(members)}
    assert sum(r["value"] * weight[r["slice"]] for r in found) == pytest.approx(sum(errors))
    assert sum(r["count"] for r in found) == len(rows)


def test_bounds_belong_to_the_slice_above():
    assert [length_slice(s) for s in (1.99, 2.0, 4.0)] == ["under 2 s", "2 to 4 s", "4 s and more"]
    assert [noise_slice(s) for s in (-3, 15, 29.9, 99)] == [
        "under 15 dB",
        "15 to 30 dB",
        "15 to 30 dB",
        "30 dB and more",
    ]
