"""What every metric promises; a new file in omni_core/metrics is picked up by itself."""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest

from data_contracts.base import choices
from data_contracts.errors import MetricError
from omni_core import components
from omni_core.audio import decode
from omni_core.metrics import AnsweredTurn, Figure

NEEDS = {"dnsmos": "speechmos"}


@pytest.fixture(params=choices("metrics"))
def metric(request):
    if request.param in NEEDS and not importlib.util.find_spec(NEEDS[request.param]):
        pytest.skip(f"{NEEDS[request.param]} is not installed")
    return components.load("metrics", request.param, components.load("languages", "en"), 1)


@pytest.fixture
def turns(spoken):
    """A perfect answer, a silent one, and one without samples; the judge was not asked about the teacher."""
    text = "Five plus four is nine."
    waveform, rate = decode(spoken[text])
    perfect = AnsweredTurn("a", "What is five plus four?", text, "What is five plus four?", text, waveform, rate, text,
                           waveform, rate)  # fmt: skip
    return [
        perfect,
        dataclasses.replace(perfect, turn_id="b", waveform=np.zeros(24_000, np.float32), transcript=""),
        dataclasses.replace(perfect, turn_id="c", waveform=np.zeros(0, np.float32), transcript="", spoken_text=""),
    ]


def test_scores_are_a_finite_number_or_none_a_turn(metric, turns):
    columns = metric.score(turns)
    assert columns
    for values in columns.values():
        assert len(values) == len(turns)
        assert all(value is None or math.isfinite(value) for value in values)


def test_figures_are_made_of_the_columns_and_are_documented(metric, turns):
    columns = {
        name: np.array([np.nan if v is None else v for v in values]) for name, values in metric.score(turns).items()
    }
    assert metric.figures
    for figure in metric.figures:
        assert figure.numerator in columns and (figure.denominator is None or figure.denominator in columns)
        assert figure.better in ("lower", "higher") and figure.unit and figure.meaning
        if figure.count(columns):
            assert math.isfinite(figure.of(columns))


def test_a_perfect_answer_is_no_worse_than_silence(metric, turns):
    columns = metric.score(turns)
    for figure in metric.figures:
        good, bad = columns[figure.numerator][:2]
        if good is not None and bad is not None:
            assert good >= bad if figure.better == "higher" else good <= bad


def test_the_module_says_what_it_measures_and_when_not_to_read_it(metric):
    text = " ".join(importlib.import_module(type(metric).__module__).__doc__.lower().split())
    assert "is better" in text and "do not read" in text


def test_a_figure_of_the_parts_that_write_does_not_hear_how_it_sounds(metric, turns):
    """What `parts="text"` claims: nothing but the question as heard and the answers as written moves it."""
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    otherwise = [
        dataclasses.replace(
            turn, waveform=noise, sample_rate_hz=16_000, transcript="something else", teacher_transcript="nothing",
            codec_transcript="noise", heard_language="de", time_to_first_audio_s=9.0, total_s=9.0,
        )
        for turn in turns
    ]  # fmt: skip
    written = [figure for figure in metric.figures if figure.parts == "text"]
    if written:
        before, after = metric.score(turns), metric.score(otherwise)
        for column in [c for figure in written for c in (figure.numerator, figure.denominator) if c]:
            assert before[column] == after[column]


def test_what_is_equal_by_construction_when_only_the_sound_was_swapped():
    pack = components.load("languages", "en")
    text = {figure.name for name in choices("metrics") if name not in ("distill_mos", "dnsmos", "speaker_similarity")
            for figure in components.load("metrics", name, pack, 1).figures if figure.parts == "text"}  # fmt: skip
    assert text == {"answer_accuracy", "cascade_retention", "text_in_accuracy", "semantic_accuracy", "content_f1",
                    "question_wer", "question_cer", "written_language"}  # fmt: skip


def test_a_figure_is_the_ratio_of_sums_over_scored_turns_and_refuses_nothing():
    figure = Figure("wer", "fraction", "lower", "", "errors", "words")
    table = {"errors": np.array([1.0, 2.0, np.nan]), "words": np.array([4.0, 8.0, np.nan])}
    assert figure.of(table) == 0.25 and figure.count(table) == 2
    with pytest.raises(MetricError, match="wer cannot be computed"):
        figure.of({"errors": np.array([np.nan]), "words": np.array([np.nan])})
