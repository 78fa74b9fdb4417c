"""DNSMOS runs from speechmos' file alone and hears background noise."""

import importlib.util

import numpy as np
import pytest

from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from omni_core.audio import decode
from omni_core.metrics import dnsmos


@pytest.mark.skipif(not importlib.util.find_spec("speechmos"), reason="speechmos is not installed")
def test_noise_lowers_the_background_score(spoken):
    metric = components.load("metrics", "dnsmos", components.load("languages", "en"), 1)
    waveform, rate = decode(spoken["The kitchen lights are now on."])
    noisy = waveform + np.random.default_rng(0).normal(0, 0.03, len(waveform)).astype(np.float32)
    clean_scores, noisy_scores = metric.mos(waveform, rate), metric.mos(noisy, rate)
    assert clean_scores.shape == (3,) and clean_scores.min() >= 1 and clean_scores.max() <= 5
    assert noisy_scores[1] < clean_scores[1] - 0.5


@pytest.mark.skipif(not importlib.util.find_spec("speechmos"), reason="speechmos is not installed")
def test_another_network_is_refused_with_the_mend(monkeypatch):
    monkeypatch.setattr(dnsmos, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(
        WeightsError, match=r"sig_bak_ovr.onnx .* expected sha256 0000.*install speechmos==0.0.1.1 again"
    ):
        dnsmos.load(None)


def test_without_speechmos_the_mend_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ComponentError, match="pip install --no-deps speechmos"):
        components.load("metrics", "dnsmos", None, 1)
