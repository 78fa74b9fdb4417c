"""Calls of the progress protocol enter; a bar with the time left (terminal) or a line every ten seconds (log) leaves.

Who reports nothing is shown too: a terminal's clock goes on, a log gets a line that says how long it has been.

Within a Prefect task the same calls move a progress artifact, for who looks on in the UI.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from omni_core.progress import Progress as Report

SECONDS_BETWEEN_LINES = 10.0

_console = Console(stderr=True)
_lock = threading.Lock()
_bars: Progress | None = None
_users = 0
_relay: Callable[[str, int, int, str], None] | None = None


def relay_to(send: Callable[[str, int, int, str], None]) -> None:
    """In a process without a terminal of its own: every report goes to `send` (stage, done, total, what)."""
    global _relay
    _relay = send


def say(line: str) -> None:
    """A line for who waits, above the bars if there are any."""
    _console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def relayed(name: str) -> Iterator[Callable[[str, int, int, str], None]]:
    """Within the block, calls of the yielded function show what the stages of another process report; `name` is shown
    until the first, while the process starts."""
    with ExitStack() as stack, ExitStack() as starting:
        reports: dict[str, Report] = {}
        starting.enter_context(shown(name))

        def show(stage: str, done: int, total: int, what: str) -> None:
            starting.close()
            if stage not in reports:
                reports[stage] = stack.enter_context(shown(stage))
            reports[stage](done, total, what)

        yield show


@contextmanager
def shown(stage: str) -> Iterator[Report]:
    """Within the block, calls of the yielded function show how far `stage` is; of a Prefect task also in Prefect's UI."""
    if _relay is not None:
        yield partial(_relay, stage)
        return
    artifact = _artifact(stage)
    with _bar(stage) if _console.is_terminal else lines(stage) as told:

        def report(done: int, total: int, what: str) -> None:
            told(done, total, what)
            if artifact:
                artifact(done, total, what)

        yield report
    if artifact:
        artifact.close()


def _artifact(stage: str) -> Any:
    """None where Prefect was never imported: its import takes a second, and there is no task then."""
    if "prefect" not in sys.modules:
        return None
    from tasks.ui_artifacts import progress_artifact

    return progress_artifact(stage)


@contextmanager
def _bar(stage: str) -> Iterator[Report]:
    bars = _borrow_bars()
    bar = bars.add_task(stage, total=None)

    def report(done: int, total: int, what: str) -> None:
        bars.update(bar, completed=done, total=total, description=f"{stage}: {what}")

    try:
        yield report
    finally:
        bars.remove_task(bar)
        _return_bars()


@contextmanager
def lines(stage: str, seconds_between: float = SECONDS_BETWEEN_LINES) -> Iterator[Lines]:
    """Lines that go on while nothing is reported."""
    told, ended = Lines(stage, seconds_between), threading.Event()

    def go_on() -> None:
        while not ended.wait(seconds_between):
            told.still_at_work()

    clock = threading.Thread(target=go_on, daemon=True)
    clock.start()
    try:
        yield told
    finally:
        ended.set()
        clock.join()


def _write(line: str) -> None:
    """A line in one piece: print writes its end apart, and two branches that begin at once then share a line."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Lines:
    """Writes to standard error at the first call, every ten seconds, and at the end of something that took long."""

    def __init__(self, stage: str, seconds_between: float = SECONDS_BETWEEN_LINES):
        self.stage, self.seconds_between = stage, seconds_between
        self.started = self.last = time.monotonic()
        self.work, self.said = "", "at work"
        self.first_done = 0

    def still_at_work(self) -> None:
        """What was said last, and since when, if that is long ago."""
        now = time.monotonic()
        if now - self.last >= self.seconds_between:
            self.last = now
            _write(f"{self.stage}: {self.said}, for {now - self.started:.0f} s")

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        self.said = f"{what} {done}/{total}"
        work = what.split(",")[0]  # "alignment, loss 0.42": the number changes, the work does not
        if work != self.work:
            self.work, self.started, self.first_done = work, now, done
        elif now - self.last < self.seconds_between:
            return
        self.last = now
        _write(f"{self.stage}: {what} {done}/{total}{self._time_left(done, total, now)}")

    def _time_left(self, done: int, total: int, now: float) -> str:
        """Of what was done since this work began, so that a resumed run's estimate holds."""
        made = done - self.first_done
        if made <= 0 or done >= total:
            return ""
        return f", about {(now - self.started) / made * (total - done):.0f} s left"


def _borrow_bars() -> Progress:
    """One display for all stages that run at once: a terminal has room for one."""
    global _bars, _users
    with _lock:
        if _bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            _bars = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=_console, transient=True)
            _bars.start()
        _users += 1
        return _bars


def _return_bars() -> None:
    global _bars, _users
    with _lock:
        _users -= 1
        if _users == 0 and _bars is not None:
            _bars.stop()
            _bars = None
