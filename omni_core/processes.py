"""What work in several processes shares: how many cores there are, who gets how many, and that no process outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import platform
import threading
from pathlib import Path


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """As its maker calls it; the kind of machine where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, named), platform.processor() or platform.machine())


def threads_a_stage(threads: int, stages_at_once: int) -> int:
    """The share of a stage that runs beside others, of so many threads (0: all cores)."""
    return max(1, (threads or cores()) // stages_at_once)


def end_with_parent() -> None:
    """Called in a child process: it ends at once when its parent is gone, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
