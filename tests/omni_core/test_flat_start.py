"""An alignment made from nothing: the even spread, and Gaussians that find borders they were never told."""

import torch

from omni_core.alignment import align
from omni_core.flat_start import Monophones, even_durations, first_durations


def test_the_even_spread_gives_the_silences_to_the_ends():
    mel = torch.full((80, 40), -11.0)
    mel[:, 10:30] = -1.0
    durations = even_durations(mel, 6, 2)
    assert sum(durations) == 20 and durations[0] == 5 and durations[-1] == 5


def made_up_speech(generator):
    """Three sounds are three spectra, in any order and of any length, between silences."""
    spectra = 3 * torch.randn(4, 80, generator=generator) - 3
    spectra[0] -= 8
    mels, targets, truth = [], [], []
    for _ in range(24):
        labels = torch.cat([torch.tensor([0]), torch.randperm(3, generator=generator) + 1, torch.tensor([0])])
        spans = torch.tensor([6, *(2 * torch.randint(3, 9, (3,), generator=generator)).tolist(), 6])
        mel = spectra[labels.repeat_interleave(spans)].T
        mels.append(mel + 0.3 * torch.randn(mel.shape, generator=generator))
        targets.append(labels)
        truth.append((spans // 2).tolist())
    return mels, targets, truth


def border_error(durations, truth):
    """Mean frames between found and true borders."""
    borders = [torch.tensor(d).cumsum(0)[:-1] for d in durations]
    true = [torch.tensor(d).cumsum(0)[:-1] for d in truth]
    return torch.cat([(a - b).abs().float() for a, b in zip(borders, true, strict=True)]).mean()


def test_gaussians_find_the_borders_of_made_up_sounds():
    mels, targets, truth = made_up_speech(torch.Generator().manual_seed(0))
    found = first_durations(mels, targets, 4, 2, lambda scores: align(scores, mels, targets))
    even = [even_durations(m, 5, 2) for m in mels]
    assert border_error(found, truth) < 0.25 < border_error(even, truth)


def test_likelihoods_are_those_of_the_definition():
    """Log of the normal density of torch.distributions, but for a constant a frame."""
    mels, targets, truth = made_up_speech(torch.Generator().manual_seed(1))
    model = Monophones(mels, 4, 2)
    features = [model.features(m[None])[0] for m in mels]
    model.estimate(features, targets, truth)
    found = model(mels[0][None], -1e4)[0, :, 1:]
    normal = torch.distributions.Normal(model.mean, model.precision.rsqrt())
    expected = normal.log_prob(features[0][:, None]).sum(-1)
    assert torch.allclose(found - found[:, :1], expected - expected[:, :1], atol=1e-2, rtol=1e-4)
