"""DistillMOS hears noise, gives silence the worst mark, and scores equal recordings of the teacher once."""

import dataclasses

import numpy as np
import pytest

from data_contracts.errors import WeightsError
from omni_core import components
from omni_core.audio import decode
from omni_core.metrics import AnsweredTurn, distill_mos


@pytest.fixture(scope="module")
def metric():
    return components.load("metrics", "distill_mos", components.load("languages", "en"), 1)


@pytest.fixture(scope="module")
def speech(spoken):
    return decode(spoken["Five plus four is nine."])


def test_noise_costs_a_point_and_silence_all(metric, speech):
    waveform, rate = speech
    noisy = waveform + np.random.default_rng(0).normal(0, 0.05, len(waveform)).astype(np.float32)
    clean = metric.mos(waveform, rate)
    assert 3.5 < clean <= 5 and metric.mos(noisy, rate) < clean - 1
    assert metric.mos(np.zeros(rate, np.float32), rate) == metric.mos(waveform[:100], rate) == 1.0


def test_other_weights_are_refused_with_the_mend(monkeypatch):
    monkeypatch.setattr(distill_mos, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(
        WeightsError, match=r"distill_mos_v7.pt .* expected sha256 0000.*install distillmos==0.9.1 again"
    ):
        distill_mos.load(None)


def test_the_teacher_is_scored_once_and_the_gap_is_teacher_minus_model(metric, speech, monkeypatch):
    turn = AnsweredTurn("a", "q", "r", "q", "r", np.zeros(0, np.float32), 24_000, "", *speech)
    asked = []
    monkeypatch.setattr(
        metric, "mos", lambda waveform, rate: asked.append(len(waveform)) or (1.0 if len(waveform) == 0 else 4.0)
    )
    columns = metric.score([turn, dataclasses.replace(turn, turn_id="b")])
    assert columns == {"mos": [1.0, 1.0], "teacher_mos": [4.0, 4.0], "mos_gap": [3.0, 3.0]}
    assert asked == [0, len(speech[0]), 0]
