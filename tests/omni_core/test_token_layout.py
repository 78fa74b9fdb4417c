"""Delays: an inverse, against the slow obvious way."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_core.token_layout import MINI_OMNI, ParallelLayout, TokenLayout, flatten_rates, rate_order, split_rates


def slow_delay(codes, layout):
    """Cell by cell, as the picture in the module says."""
    _, num_streams, frames = codes.shape
    streams = [[layout.pad] * layout.steps(frames) for _ in range(num_streams)]
    for stream in range(num_streams):
        for frame in range(frames):
            streams[stream][frame + layout.delays[stream]] = int(codes[0, stream, frame])
    return torch.tensor([streams])


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_delay_then_undelay_returns_the_codes(num_streams, frames, seed):
    layout = TokenLayout.delayed(num_streams, 50)
    codes = torch.randint(50, (1, num_streams, frames), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(layout.undelay(layout.delay(codes)), codes)


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 99))
def test_delay_is_what_the_picture_shows(num_streams, frames, seed):
    layout = TokenLayout.delayed(num_streams, 50)
    codes = torch.randint(50, (1, num_streams, frames), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(layout.delay(codes), slow_delay(codes, layout))


def test_any_delays_are_undone():
    layout = TokenLayout(3, 8, (2, 0, 5))
    codes = torch.randint(8, (2, 3, 6), generator=torch.Generator().manual_seed(0))
    assert torch.equal(layout.undelay(layout.delay(codes)), codes)
    assert layout.delay(codes).shape == (2, 3, 11)


SMALL = ParallelLayout(num_streams=3, codebook_size=9, delays=(1, 2, 3), text_codes=20, num_specials=8)


def test_mini_omni_has_the_published_ids():
    layout = MINI_OMNI
    assert (layout.text_vocabulary_size, layout.vocabulary_size, layout.total_size) == (152_000, 4_160, 181_120)
    assert (layout.text_end, layout.text_pad, layout.text_input, layout.text_answer, layout.text_recognition) == (
        151_936, 151_937, 151_938, 151_939, 151_940)  # fmt: skip
    assert (layout.end, layout.pad, layout.input, layout.answer, layout.split) == (4096, 4097, 4098, 4099, 4100)
    assert (layout.image_input, layout.image_end) == (4101, 4102)
    assert layout.tokens(torch.full((7, 1), 5))[:, 0].tolist() == [5 + 152_000 + 4_160 * i for i in range(7)]


@given(st.integers(1, 20), st.integers(0, 99))
def test_ids_then_tokens_returns_the_ids(steps, seed):
    ids = torch.randint(SMALL.vocabulary_size, (2, 3, steps), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(SMALL.ids(SMALL.tokens(ids)), ids)


def test_streams_that_end_are_what_the_picture_shows():
    end, pad = SMALL.end, SMALL.pad
    assert SMALL.delay_to_end(torch.tensor([[[1, 2], [3, 4], [5, 6]]]))[0].tolist() == [
        [pad, 1, 2, end, pad, pad],
        [pad, pad, 3, 4, end, pad],
        [pad, pad, pad, 5, 6, end],
    ]


def test_seven_streams_stand_as_mini_omni_has_them():
    """t0..t6 -> coarse [t0], mid [t1, t4], fine [t2, t3, t5, t6]."""
    coarse, mid, fine = split_rates(torch.arange(7)[None, :, None], [4, 2, 1])
    assert (coarse.tolist(), mid.tolist(), fine.tolist()) == ([[0]], [[1, 4]], [[2, 3, 5, 6]])


def test_four_rates_are_fifteen_streams():
    levels = split_rates(torch.arange(30).reshape(1, 2, 15).transpose(1, 2), [8, 4, 2, 1])
    assert [level.shape[1] for level in levels] == [2, 4, 8, 16]
    assert levels[0].tolist() == [[0, 15]] and levels[1].tolist() == [[1, 8, 16, 23]]


@given(frames=st.integers(0, 5), batch=st.integers(1, 3), ratios=st.lists(st.integers(1, 3), min_size=0, max_size=3))
def test_flatten_then_split_returns_the_levels_and_the_other_way_round(frames, batch, ratios):
    strides = [1]
    for ratio in ratios:
        strides.insert(0, strides[0] * ratio)
    levels = [torch.randint(99, (batch, frames * strides[0] // stride)) for stride in strides]
    streams = flatten_rates(levels, strides)
    assert streams.shape == (batch, len(rate_order(strides)), frames)
    assert all(torch.equal(a, b) for a, b in zip(split_rates(streams, strides), levels, strict=True))
    other = torch.randint(99, streams.shape)
    assert torch.equal(flatten_rates(split_rates(other, strides), strides), other)
