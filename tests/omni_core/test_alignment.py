"""Forced alignment against its definition, and a recogniser that finds borders by itself."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_core.alignment import STRIDE, PhonemeRecogniser, align, durations_of_path, fit, forced_align
from omni_core.flat_start import even_durations


def best_path_by_trying_all(log_probs, targets):
    """Every labelling of every frame; those that collapse to the targets; the most probable."""
    frames, classes = log_probs.shape
    best, best_score = None, -float("inf")
    for labels in itertools.product(range(classes), repeat=frames):
        collapsed = [label for label, _ in itertools.groupby(labels) if label != 0]
        if collapsed == targets:
            score = sum(float(log_probs[frame, label]) for frame, label in enumerate(labels))
            if score > best_score:
                best, best_score = labels, score
    return best, best_score


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 2), min_size=1, max_size=3), st.integers(0, 10_000))
def test_forced_align_finds_the_most_probable_path(frames, targets, seed):
    log_probs = torch.randn(frames, 3, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)
    path = forced_align(log_probs[None], torch.tensor([targets]), torch.tensor([frames]), torch.tensor([len(targets)]))[
        0
    ]
    expected, score = best_path_by_trying_all(log_probs, targets)
    if expected is None:
        assert (path == -1).all()
        return
    labels = [0 if state % 2 == 0 else targets[state // 2] for state in path.tolist()]
    assert sum(float(log_probs[f, label]) for f, label in enumerate(labels)) == pytest.approx(score, abs=1e-4)
    assert [label for label, _ in itertools.groupby(labels) if label != 0] == targets


def test_rows_of_a_batch_do_not_disturb_each_other():
    generator = torch.Generator().manual_seed(3)
    long, short = (torch.randn(n, 5, generator=generator).log_softmax(-1) for n in (12, 7))
    padded = torch.stack([long, torch.nn.functional.pad(short, (0, 0, 0, 5), value=-9.0)])
    targets = torch.tensor([[1, 2, 3, 4], [4, 1, 0, 0]])
    both = forced_align(padded, targets, torch.tensor([12, 7]), torch.tensor([4, 2]))
    alone = forced_align(short[None], targets[1:, :2], torch.tensor([7]), torch.tensor([2]))
    assert both[1, :7].tolist() == alone[0].tolist()
    assert both[1, 7:].tolist() == [-1] * 5


def test_durations_put_the_border_halfway_and_sum_to_the_frames():
    assert durations_of_path([1, 1, 2, 2, 2, 2, 3], 2) == [4, 3]
    assert sum(durations_of_path([0, 1, 2, 3, 4, 4], 2)) == 6


def test_fitting_finds_where_made_up_sounds_change():
    """Three 'phonemes' are three spectra; the recogniser must find borders that it was never told."""
    generator = torch.Generator().manual_seed(0)
    spectra = 3 * torch.randn(4, 80, generator=generator) - 3
    mels, targets, truth = [], [], []
    for _ in range(24):
        inner = torch.randperm(3, generator=generator) + 1
        spans = [6, *(2 * torch.randint(3, 9, (3,), generator=generator)).tolist(), 6]
        labels = [0, *inner.tolist(), 0]
        mel = torch.cat(
            [spectra[label][:, None].expand(-1, span) for label, span in zip(labels, spans, strict=True)], 1
        )
        mel = mel - (8.0 * (torch.repeat_interleave(torch.tensor(labels), torch.tensor(spans)) == 0))
        mels.append(mel + 0.3 * torch.randn(mel.shape, generator=generator))
        targets.append(torch.tensor(labels))
        truth.append([span // 2 for span in spans])
    found = align(fit(mels, targets, 4, steps=48, batch=8), mels, targets)

    def mean_border_error(durations):
        borders = [torch.tensor(d).cumsum(0)[:-1] for d in durations]
        right = [torch.tensor(d).cumsum(0)[:-1] for d in truth]
        return torch.cat([(a - b).abs().float() for a, b in zip(borders, right, strict=True)]).mean()

    assert mean_border_error(found) < 0.5  # frames of 23 ms
    assert mean_border_error(found) < mean_border_error([even_durations(m, 5, STRIDE) for m in mels]) / 2


def test_too_few_frames_for_the_phonemes_is_said_not_guessed():
    model = PhonemeRecogniser(5).eval()
    assert align(model, [torch.zeros(80, 4)], [torch.tensor([1, 2, 3, 4])]) == [None]
