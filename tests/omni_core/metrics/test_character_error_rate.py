"""Characters are counted as jiwer counts them, on normalised words, spaces with them where a language has spaces."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_core.metrics.character_error_rate import load

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), max_size=8)


class Spaces:
    error_unit = "word"

    def words(self, text):
        return text.split()


class Characters(Spaces):
    error_unit = "character"

    def words(self, text):
        return list(text.replace(" ", ""))


@given(said=WORDS.filter(bool), heard=WORDS)
def test_errors_and_characters_are_jiwers(turn, said, heard):
    columns = load(Spaces()).score([turn(spoken_text=" ".join(said), transcript=" ".join(heard))])
    out = jiwer.process_characters(" ".join(said), " ".join(heard))
    assert columns["char_errors"] == [out.substitutions + out.deletions + out.insertions]
    assert columns["reference_chars"] == [out.substitutions + out.deletions + out.hits]


@pytest.mark.parametrize(("own", "heard", "errors", "characters"), [
    ("Brasilia.", "Brazilia", 1, 8),
    ("Five plus four is nine.", "5 plus 4 is 9.", 0, 9),   # normalised: "5 +4 is 9"
    ("On.", "off", 2, 2),
    ("", "you", 3, 0),
])  # fmt: skip
def test_a_slip_costs_a_letter(load, turn, own, heard, errors, characters):
    columns = load("character_error_rate").score([turn(spoken_text=own, transcript=heard)])
    assert (columns["char_errors"], columns["reference_chars"]) == ([errors], [characters])


def test_spaces_do_not_count_where_characters_are_words(turn):
    columns = load(Characters()).score([turn(spoken_text="厨房 的灯", transcript="厨房的登")])
    assert (columns["char_errors"], columns["reference_chars"]) == ([1], [4])


def test_the_teacher_is_counted_only_where_the_judge_was_asked(load, turn):
    metric = load("character_error_rate")
    assert metric.score([turn()])["teacher_char_errors"] == [None]
    assert metric.score([turn(reference_text="cat", teacher_transcript="cut")])["teacher_char_errors"] == [1]
