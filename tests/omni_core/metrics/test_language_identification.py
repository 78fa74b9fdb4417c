"""Answers in the wrong language are found in sound and in text; short right ones are not accused."""

import pytest

from data_contracts.errors import MetricError
from omni_core.metrics.language_identification import MARGIN_NATS, nats_behind, same


def test_all_answers_of_the_tests_are_english(load, turn, pairs):
    columns = load("language_identification").score([turn(spoken_text=answer) for _, answer, _ in pairs])
    assert columns["written_language"] == [1.0] * len(pairs)


@pytest.mark.parametrize(("text", "language"), [
    ("Die Küchenlampe ist jetzt an.", "de"),
    ("La capitale du Brésil est Brasilia.", "fr"),
    ("La luz de la cocina está encendida.", "es"),
    ("Vijf plus vier is negen.", "nl"),
    ("厨房 的 灯 现在 开 着。", "zh"),
])  # fmt: skip
def test_other_languages_are_not_english_and_are_themselves(text, language):
    assert nats_behind(text, "en") > MARGIN_NATS > nats_behind(text, language)


def test_the_judges_language_counts_by_primary_tag(load, turn):
    turns = [turn(heard_language="en", language="en-GB"), turn(heard_language="de", language="en"), turn()]
    columns = load("language_identification").score(turns)
    assert columns == {"spoken_language": [1.0, 0.0, None], "written_language": [None, None, None]}
    assert same("zh-Hant", "zh") == 1 and same("", "en") == 0


def test_a_language_that_the_package_does_not_know_is_named():
    with pytest.raises(MetricError, match="does not know the language 'xx'"):
        nats_behind("one two three four", "xx")
