"""What work in several processes shares: how many cores there are, and that no process outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import threading


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Called in a child process: it ends at once when its parent is gone, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a child has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
