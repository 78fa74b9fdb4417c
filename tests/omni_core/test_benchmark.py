"""Memory is the served model's own, not that of the flow that started it; a model that dies is one sentence."""

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_contracts.benchmark import BenchmarkSettings
from data_contracts.errors import MetricError
from omni_core.benchmark import _Served, hardware, latency_of


def test_a_childs_peak_memory_does_not_hold_its_parents():
    parents = np.ones(500_000_000 // 8)  # 500 MB, resident
    code = "from omni_core.benchmark import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < 450 and parents[-1] == 1


def test_peak_memory_grows_with_what_is_held():
    code = (
        "import numpy as np; from omni_core.benchmark import peak_memory_mb as peak; before = peak();"
        "kept = np.ones(200_000_000 // 8); print(peak() - before)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 180 < float(child.stdout) < 220


def test_a_served_model_that_cannot_start_is_one_sentence_with_its_reason(tmp_path):
    settings = BenchmarkSettings(threads=1)
    with (
        pytest.raises(MetricError, match=r"the champion's process in the benchmark failed: .*model\.json"),
        _Served("champion", tmp_path / "nowhere", tmp_path / "questions.npz", settings),
    ):
        pass


def test_only_whole_answers_with_sound_make_the_percentiles():
    times = [(0.4, 2.0, 4.0), (0.6, 3.0, 4.0), (0.0, 0.2, 0.0), (9.0, None, None)]
    rows = [
        {"who": "challenger", "time_to_first_audio_s": first, "total_s": total, "audio_s": audio}
        for first, total, audio in times
    ]
    found = latency_of(rows, "challenger")
    assert found["time_to_first_audio_ms"] == {"p50": 500, "p95": 590} and found["real_time_factor"]["p50"] == 0.625
    assert (found["answers"], found["silent_answers"]) == (2, 1)
    with pytest.raises(MetricError, match="the champion spoke no answer at all"):
        latency_of(rows, "champion")


def test_the_hardware_is_named_by_its_processor_cores_and_threads():
    named, cores, threads = hardware(2).rsplit(", ", 2)
    assert named not in ("", platform.machine()) and cores.endswith(" cores") and threads == "2 threads"
    assert named in Path("/proc/cpuinfo").read_text()
