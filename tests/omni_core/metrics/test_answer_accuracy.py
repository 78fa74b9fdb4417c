"""Right is every word right, in any spelling; words apart from sound."""

import numpy as np
import pytest

from omni_core import components
from omni_core.metrics import AnsweredTurn

SILENCE = np.zeros(10, np.float32)


@pytest.mark.parametrize(("wrote", "heard", "correct", "spoken"), [
    ("five plus four is nine", "5 plus 4 is 9", 1, 1),
    ("Five plus four is nine.", "Five plus four is wine.", 1, 0),
    ("Five plus four is ten.", "Five plus four is nine.", 0, 1),
    ("", "", 0, 0),
])  # fmt: skip
def test_text_and_voice_are_judged_apart(wrote, heard, correct, spoken):
    turn = AnsweredTurn("t", "q", "Five plus four is nine.", "q", wrote, SILENCE, 24_000, heard, SILENCE, 24_000)
    metric = components.load("metrics", "answer_accuracy", components.load("languages", "en"))
    assert metric.score([turn]) == {"correct": [correct], "spoken_correct": [spoken]}
