"""What work in several processes shares: how many cores there are, who gets how many, and that no process outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import threading


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
