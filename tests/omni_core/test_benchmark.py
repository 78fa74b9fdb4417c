"""Memory is the served model's own, not that of the flow that started it."""

import subprocess
import sys

import numpy as np


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
