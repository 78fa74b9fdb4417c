"""Delays: an inverse, against the slow obvious way."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_core.token_layout import MINI_OMNI, ParallelLayout, TokenLayout, flatten_rates, split_rates


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


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_flatten_then_split_returns_the_codebooks(num_codebooks, frames, seed):
    generator = torch.Generator().manual_seed(seed)
    codebooks = [torch.randint(99, (2, frames * 2**k), generator=generator) for k in range(num_codebooks)]
    codes = flatten_rates(codebooks)
    assert codes.shape == (2, 2**num_codebooks - 1, frames)
    assert all(torch.equal(a, b) for a, b in zip(split_rates(codes), codebooks, strict=True))


def test_three_rates_are_flattened_in_mini_omnis_order():
    frame = flatten_rates([torch.tensor([[0]]), torch.tensor([[1, 4]]), torch.tensor([[2, 3, 5, 6]])])
    assert frame[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]  # c0=[t0], c1=[t1,t4], c2=[t2,t3,t5,t6]
