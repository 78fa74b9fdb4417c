"""Quiet time is what was put in, whatever the loudness and the sample rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_core.metrics.silence import longest_pause_s, quiet

RATE = 16_000


def built(*parts, loudness=0.3, rate=RATE):
    """(seconds, sounds?) one after the other."""
    return np.concatenate([
        (loudness if sounds else 0.0) * np.sin(2 * np.pi * 200 * np.arange(round(s * rate)) / rate) for s, sounds in parts
    ]).astype(np.float32)  # fmt: skip


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6), st.floats(0.01, 0.9), st.sampled_from([8_000, 16_000, 24_000])
)
def test_the_share_is_the_share_that_was_built(frames, loudness, rate):
    parts = [(n * 0.025, i % 2 == 0) for i, n in enumerate(frames)]
    assert quiet(built(*parts, loudness=loudness, rate=rate), rate).tolist() == [
        i % 2 == 1 for i, n in enumerate(frames) for _ in range(n)
    ]


@given(st.lists(st.booleans(), max_size=40))
def test_the_longest_pause_is_that_of_a_slow_look(flags):
    longest = run = 0
    for is_quiet in flags:
        run = run + 1 if is_quiet else 0
        longest = max(longest, run) if any(not f for f in flags) else 0
    trailing = next((i for i, f in enumerate(reversed(flags)) if not f), len(flags))
    inner = [len(p) for p in "".join("q" if f else "s" for f in flags[: len(flags) - trailing]).split("s")]
    assert longest_pause_s(np.array(flags, bool)) == pytest.approx(0.025 * max(inner, default=0))


def test_a_second_before_or_within_stalls_and_after_does_not(load, turn):
    sound, gap = (0.5, True), (1.1, False)
    waveforms = [
        built(*parts) for parts in ((sound, gap, sound), (gap, sound), (sound, gap), (sound, (0.5, False), sound))
    ]
    columns = load("silence").score([turn(waveform=w, sample_rate_hz=RATE) for w in waveforms])
    assert columns["stalled"] == [1, 1, 0, 0]
    assert columns["silent_s"] == pytest.approx([1.1, 1.1, 1.1, 0.5], abs=0.026)


def test_an_answer_without_sound_is_all_silence_and_no_stall(load, turn):
    columns = load("silence").score([turn(waveform=np.zeros(RATE, np.float32), sample_rate_hz=RATE),
                                     turn(waveform=np.zeros(0, np.float32))])  # fmt: skip
    assert columns["silent_s"] == pytest.approx([1.0, 0.0]) and columns["stalled"] == [0, 0]
