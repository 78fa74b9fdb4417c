"""Times of turns and of the benchmark's table become the same columns."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from omni_core.metrics.latency import columns_of


def arrays(columns):
    return {name: np.array([np.nan if v is None else v for v in values]) for name, values in columns.items()}


def test_by_hand_waiting_is_a_mean_and_speed_a_ratio_of_sums(load, turn):
    sound = np.ones(24_000, np.float32)
    metric = load("latency")
    columns = arrays(metric.score([
        turn(waveform=sound, time_to_first_audio_s=0.2, total_s=0.5),
        turn(waveform=np.tile(sound, 3), time_to_first_audio_s=0.4, total_s=2.5),
        turn(waveform=np.zeros(0, np.float32), time_to_first_audio_s=0.0, total_s=0.3),   # said nothing
        turn(waveform=sound),                                                             # not timed
    ]))  # fmt: skip
    first, speed = metric.figures
    assert first.of(columns) == pytest.approx(300) and first.count(columns) == 2
    assert speed.of(columns) == pytest.approx(3.0 / 4.0)


def test_the_benchmarks_own_table_is_read(store, make_latency, load):
    report = make_latency()
    columns = arrays(columns_of(pq.read_table(store.folder(report) / "per_answer.parquet").to_pylist()))
    first, speed = load("latency").figures
    assert first.of(columns) == pytest.approx(400 * 1.195) and speed.of(columns) == pytest.approx(
        report.facts["real_time_factor"]["p50"]
    )
