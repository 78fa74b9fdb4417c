"""The four metrics that compare with the teacher: sums by hand, scipy where it has the same number, and who is left out."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from omni_core.audio import decode
from omni_core.metrics import AnsweredTurn
from omni_core.metrics.log_f0 import correlation, log_curves, rmse
from omni_core.metrics.mel_cepstral_distortion import distortion_db
from omni_core.spoken_pairs import SpokenPair

NAMES = ("duration_ratio", "log_f0", "mel_cepstral_distortion", "voicing_error")
CURVE = st.lists(st.floats(4.0, 6.2), min_size=10, max_size=30)


def pair(own, teacher, distance=(0.0,)):
    return SpokenPair(np.array(own, float), np.array(teacher, float), np.array(distance), 1.0, 1.0)


def with_pair(monkeypatch, turn, **values):
    monkeypatch.setattr(AnsweredTurn, "beside_teacher", pair(**values))
    return turn(spoken_text="a", reference_text="a")


def test_voicing_is_counted_by_hand(load, turn, monkeypatch):
    given_turn = with_pair(monkeypatch, turn, own=[0, 0, 100, 100, 90], teacher=[0, 120, 0, 130, 95])
    assert load("voicing_error").score([given_turn]) == {"voicing_errors": [2.0], "paired_frames": [5.0]}


def test_distortion_by_hand():
    assert distortion_db(pair([0], [0], distance=[1.0, 0.0])) == pytest.approx(10 * np.sqrt(2) / np.log(10) / 2)


@given(CURVE, st.data())
def test_melody_is_scipys_and_numpys(curve, data):
    own, teacher = (
        np.array(curve),
        np.array(data.draw(st.lists(st.floats(4.0, 6.2), min_size=len(curve), max_size=len(curve)))),
    )
    assert rmse(own, teacher) == pytest.approx(np.linalg.norm(own - teacher) / np.sqrt(len(own)))
    if min(own.std(), teacher.std()) > 1e-3:
        assert correlation(own, teacher) == pytest.approx(scipy.stats.pearsonr(own, teacher).statistic, abs=1e-6)


@given(CURVE, st.floats(0.5, 2.0))
def test_a_melody_at_another_height_correlates_fully_and_is_its_interval_away(curve, factor):
    hertz = np.exp(curve)
    own, teacher = log_curves(pair(hertz * factor, hertz))
    assert rmse(own, teacher) == pytest.approx(abs(np.log(factor)), abs=1e-9)
    if np.std(curve) > 1e-3:
        assert correlation(own, teacher) == pytest.approx(1.0)


def test_a_flat_curve_has_no_correlation_and_few_frames_no_curve():
    assert correlation(np.full(20, 5.0), np.linspace(4, 5, 20)) is None
    assert log_curves(pair([100] * 9 + [0] * 9, [100] * 18)) is None
    assert log_curves(pair([100] * 10, [100] * 10)) is not None


def test_another_text_or_silence_is_left_out_and_counted(load, turn, spoken, pairs):
    text = pairs[0][1]
    waveform, rate = decode(spoken[text])
    taught = {
        "reference_text": text,
        "teacher_waveform": waveform,
        "teacher_sample_rate_hz": rate,
        "sample_rate_hz": rate,
    }
    turns = [
        turn(spoken_text=text, waveform=waveform, **taught),
        turn(spoken_text="The kitchen lights are now off.", waveform=waveform, **taught),
        turn(spoken_text=text, waveform=np.zeros(rate, np.float32), **taught),
        turn(spoken_text="", waveform=np.zeros(0, np.float32), **taught),
    ]
    for name in NAMES:
        metric = load(name)
        columns = {
            k: np.array([np.nan if v is None else v for v in values]) for k, values in metric.score(turns).items()
        }
        assert metric.figures[0].count(columns) == 1, name
    columns = load("duration_ratio").score(turns)
    assert columns["comparable"] == [1, 0, 0, 0] and columns["duration_ratio"] == [1.0, None, None, None]


@pytest.mark.parametrize(("own_s", "ratio", "direction"), [(2.0, 2.0, 2.0), (0.5, 2.0, 0.5), (1.0, 1.0, 1.0)])
def test_too_slow_and_too_fast_do_not_cancel(load, turn, own_s, ratio, direction):
    def noise(seconds):
        return np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)

    columns = load("duration_ratio").score([
        turn(waveform=noise(own_s), sample_rate_hz=16_000, teacher_waveform=noise(1.0), teacher_sample_rate_hz=16_000)
    ])  # fmt: skip
    assert columns["duration_ratio"] == pytest.approx([ratio], rel=0.03)
    assert columns["own_over_teacher"] == pytest.approx([direction], rel=0.03)
