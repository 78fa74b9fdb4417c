"""What is forgotten is a difference of sums; turns without a probe do not count."""

import math

import numpy as np
import pytest

from omni_core.metrics import TextProbe


def test_by_hand(load, turn):
    metric = load("text_forgetting")
    probes = [TextProbe("q", 4, 2.0, 1.0, True, True), TextProbe("q", 6, 3.0, 2.0, False, True), None]
    columns = {name: np.array([np.nan if v is None else v for v in values])
               for name, values in metric.score([turn(text_probe=p) for p in probes]).items()}  # fmt: skip
    values = {figure.name: figure.of(columns) for figure in metric.figures}
    assert values["text_log_perplexity"] == pytest.approx(0.5) and values["base_text_log_perplexity"] == pytest.approx(
        0.3
    )
    assert values["text_forgetting"] == pytest.approx(0.2) and values["text_accuracy"] == 0.5
    perplexities = math.exp(values["text_log_perplexity"]) / math.exp(values["base_text_log_perplexity"])
    assert math.exp(values["text_forgetting"]) == pytest.approx(perplexities)
    assert metric.figures[0].count(columns) == 2
