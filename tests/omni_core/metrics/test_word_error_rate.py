"""Errors and words are counted on normalised words, so that figures and spelling do not count."""

import numpy as np
import pytest

from omni_core import components
from omni_core.metrics import AnsweredTurn

SILENCE = np.zeros(10, np.float32)


def score(**texts):
    defaults = {"question_text": "a", "reference_text": "a", "heard_text": "a", "spoken_text": "a", "transcript": "a"}
    turn = AnsweredTurn(turn_id="t", waveform=SILENCE, sample_rate_hz=24_000, teacher_waveform=SILENCE,
                        teacher_sample_rate_hz=24_000, **(defaults | texts))  # fmt: skip
    return components.load("metrics", "word_error_rate", components.load("languages", "en")).score([turn])


@pytest.mark.parametrize(("own", "heard", "errors", "words"), [
    ("The lights are now on.", "the lights are now on", 0, 5),
    ("Five plus four is nine.", "5 plus 4 is 9.", 0, 4),     # "plus four" becomes +4 on both sides
    ("Your timer is set for twenty minutes.", "Your timer is set for 20 minutes", 0, 7),
    ("The lights are on.", "The light is on", 2, 4),         # two substitutions
    ("Take an umbrella.", "Take umbrella", 1, 3),            # a deletion
    ("Take an umbrella.", "Please take an umbrella now", 2, 3),  # two insertions
    ("", "you", 1, 0),
])  # fmt: skip
def test_errors_are_counted_word_by_word(own, heard, errors, words):
    columns = score(spoken_text=own, transcript=heard)
    assert (columns["errors"], columns["reference_words"]) == ([errors], [words])


def test_the_teacher_is_counted_only_where_the_judge_was_asked():
    assert score()["teacher_errors"] == [None]
    columns = score(reference_text="The lights are on.", teacher_transcript="The lights are off.")
    assert (columns["teacher_errors"], columns["teacher_words"]) == ([1], [4])


def test_the_question_is_held_against_what_the_model_heard():
    columns = score(question_text="Turn on the lights", heard_text="turn on the light")
    assert (columns["question_errors"], columns["question_words"]) == ([1], [4])
