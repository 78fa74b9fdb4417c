"""Delays: an inverse, against the slow obvious way."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from omni_core.token_layout import TokenLayout


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
