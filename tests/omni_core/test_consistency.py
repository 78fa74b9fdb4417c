"""A few answers say whether a model is one: bounds hold or become reasons, and what could not be scored is refused."""

import numpy as np
import pytest

from data_contracts.consistency import ConsistencySettings
from data_contracts.errors import MetricError
from omni_core import components, consistency
from omni_core.speech_to_speech import Answer
from tests.omni_core.conftest import PAIRS, decode

RATE_HZ = 24_000
SILENT = Answer("", "", np.zeros(0, np.float32), RATE_HZ, 0.0, 0.1)


@pytest.fixture(scope="module")
def english():
    return components.load("languages", "en")


def said(spoken, text: str, sound: str, ended: bool = True) -> Answer:
    """An answer that writes one sentence and says another."""
    return Answer("a question", text, decode(spoken[sound])[0], RATE_HZ, 0.2, 0.5, ended)


def judged(spoken, judge, english, answers, silence=(SILENT, SILENT), **settings):
    """Reasons against a model that has answered so."""
    facts = consistency.measure(answers, silence, judge, english)
    rows, reasons = consistency.gate(facts, ConsistencySettings(**settings))
    assert [not row.passed for row in rows].count(True) == len(reasons)
    return reasons


TEXTS = [answer for _, answer, _ in PAIRS[:3]]


def test_a_model_that_says_what_it_writes_has_nothing_against_it(spoken, judge, english):
    assert judged(spoken, judge, english, [said(spoken, text, text) for text in TEXTS]) == []


def test_speech_that_says_something_else_is_a_reason(spoken, judge, english):
    others = [said(spoken, text, sound) for text, sound in zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True)]
    (reason,) = judged(spoken, judge, english, others)
    assert "of the words otherwise than the model wrote them, over the bound of 60%" in reason


def test_answers_that_do_not_end_are_a_reason(spoken, judge, english):
    cut = [said(spoken, text, text, ended=number == 0) for number, text in enumerate(TEXTS)]
    assert judged(spoken, judge, english, cut) == [
        "33% of 3 validation answers come to their end token, under the bound of 50%"
    ]


def test_speech_on_silence_is_a_reason_and_a_bound_allows_it(spoken, judge, english):
    answers, loud = [said(spoken, TEXTS[0], TEXTS[0])], said(spoken, TEXTS[1], TEXTS[1])
    (reason,) = judged(spoken, judge, english, answers, silence=[SILENT, loud])
    assert reason.startswith("silence is answered with") and reason.endswith("s of speech, over the bound of 0 s")
    assert judged(spoken, judge, english, answers, silence=[SILENT, loud], max_speech_on_silence_s=60) == []


class Deaf:
    """Answers every question with the same."""

    def __init__(self, answer):
        self.answer = lambda waveform, sample_rate_hz: answer


def test_a_model_that_hears_nothing_at_all_is_refused_before_it_is_scored():
    with pytest.raises(MetricError, match="the model hears no words in any of 2 validation questions"):
        consistency.answer_all(Deaf(SILENT), [np.zeros(16_000, np.float32)] * 2)


def test_a_model_that_says_nothing_at_all_is_refused_before_it_is_scored():
    mute = Answer("lights on", "", np.zeros(0, np.float32), RATE_HZ, 0.0, 0.1)
    with pytest.raises(MetricError, match="the model answers nothing to any of 1 validation questions"):
        consistency.answer_all(Deaf(mute), [np.zeros(16_000, np.float32)])


def test_an_answer_of_samples_that_are_no_numbers_is_refused():
    broken = Answer("lights on", "On.", np.full(9, np.nan, np.float32), RATE_HZ, 0.1, 0.1)
    with pytest.raises(MetricError, match="holds samples that are not numbers"):
        consistency.answer_all(Deaf(broken), [np.zeros(16_000, np.float32)])


def test_a_muted_microphone_and_a_quiet_room_are_tried():
    muted, room = consistency.silences()
    assert not muted.any() and -56 < 10 * np.log10(np.mean(room**2)) < -54
