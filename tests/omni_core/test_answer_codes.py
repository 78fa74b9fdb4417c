"""Answers as codes: their text form is read or refused with a reason, and what was kept comes back the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.errors import SourceError
from omni_core import answer_codes

FRAMES = st.lists(st.lists(st.integers(0, 4095), min_size=7, max_size=7), min_size=1, max_size=20)


def written(frames: list[list[int]]) -> str:
    return " ".join(f"# {' '.join(map(str, frame))}" for frame in frames)


@given(FRAMES)
def test_codes_are_read_a_stream_a_row_and_come_back_from_an_utterance(frames):
    codes = answer_codes.parse(written(frames))
    assert codes.tolist() == [list(stream) for stream in zip(*frames, strict=True)]
    kept = answer_codes.codes_of(answer_codes.cells(codes), "snac", 24_000)
    assert kept.tolist() == codes.tolist()


def test_a_frame_is_85_ms():
    assert answer_codes.duration_s(np.zeros((7, 12))) == pytest.approx(1.024)


def test_an_utterance_without_codes_or_with_those_of_another_codec_has_none():
    row = answer_codes.cells(np.zeros((7, 2), np.int16))
    assert answer_codes.codes_of({"audio": b"x"}, "snac", 24_000) is None
    assert answer_codes.codes_of(row, "mimi", 24_000) is answer_codes.codes_of(row, "snac", 32_000) is None


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "has no codes"),
        ("# 1 2 3", "not frames of '#' and 7 numbers"),
        ("1 2 3 4 5 6 7 #", "not frames of '#'"),
        ("# 1 2 3 4 5 6 x", "what is no number"),
        ("# 1 2 3 4 5 6 4096", "reach 4096, outside 0 to 4095"),
        ("# 1 2 3 4 5 6 -1", "outside 0 to 4095"),
    ],
)
def test_what_is_no_codes_is_refused_with_the_reason(text, sentence):
    with pytest.raises(SourceError, match=sentence):
        answer_codes.parse(text)
