"""Stages that do not read one another run at the same time, each in a process of its own with its share of the cores.

Two cores are worth 1.1 of one to the talker's small matrices and 1.6 to the language model's, so two stages of one
thread each end sooner than one after the other with two threads. A process of its own also keeps random numbers apart: the
same seeds give the same weights whatever runs beside.

    flow's thread: run_stage(...) -> Worker.run("tasks.train", "train_listen", arguments) -> what it made
                                        |  pipe: progress ... progress, made or error
                                     process: tasks.train.train_listen
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from typing import Any

from prefect.exceptions import UpstreamTaskError
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from data_contracts.errors import OmniError
from data_contracts.retrain import RetrainSettings
from omni_core.processes import end_with_parent, threads_a_stage
from tasks import progress
from tasks.tracking import FlowRun

CLOSING = "another stage of this run has failed; start again when that is mended"
AT_ONCE = 2
"""The flow has two branches: what the model hears, and how it speaks."""

_idle: list[Worker] = []
_all: list[Worker] = []
_is_closing = False
"""The flow has ended, and its threads are being ended: no stage begins."""
_lock = threading.Lock()
_alone = threading.Lock()
"""Held by a stage that runs in the flow's own process, so that no two of them do."""


class Worker:
    """A process that runs one stage after the other; started when it is first needed, ended with ours."""

    def __init__(self, threads: int):
        self.threads = threads
        context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads in an unknown state
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True, name="omnirefit stage")
        self.process.start()
        theirs.close()

    def run(self, module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the stage `name` of a module of tasks there; its progress is shown here, its error is raised here."""
        with progress.relayed(name.replace("_", " ")) as show:
            try:
                self.pipe.send((module, name, args, kwargs))
                while (message := self.pipe.recv())[0] == "progress":
                    show(*message[1:])
            except (EOFError, OSError) as error:
                raise OmniError(
                    f"the process of the stage '{name.replace('_', ' ')}' was ended from outside, often for want of memory; "
                    "start again, finished stages and checkpoints are kept"
                ) from error
        if message[0] == "failed":
            raise message[1]
        return message[1]


def _serve(pipe: Connection, threads: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches us too: the flow says what there is to say
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    import omni_core  # noqa: F401 first of all: it makes torchaudio importable beside a CPU torch

    progress.relay_to(lambda *report: pipe.send(("progress", *report)))
    while True:
        try:
            module, name, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            made = ("made", getattr(importlib.import_module(module), name).fn(*args, **kwargs))
        except Exception as error:
            made = ("failed", _portable(error))
        pipe.send(made)


def _portable(error: Exception) -> Exception:
    """The error as it is where it survives the way between processes, with its traceback as text."""
    import pickle
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, OmniError):
        copy.add_note(f"in the process of the stage:\n{text}")
    return copy


@contextmanager
def _borrowed(threads: int) -> Iterator[Worker]:
    with _lock:
        if _is_closing:
            raise OmniError(CLOSING)
        fitting = [worker for worker in _idle if worker.threads == threads and worker.process.is_alive()]
        worker = fitting[0] if fitting else Worker(threads)
        if fitting:
            _idle.remove(worker)
        else:
            _all.append(worker)
    try:
        yield worker
    finally:
        with _lock:
            if worker.process.is_alive():
                _idle.append(worker)


def run_stage(
    flow_run: FlowRun | None,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    alone: bool = False,
) -> Any:
    """Run a stage's function where the settings want it: in a worker, or here and `alone` with all the threads."""
    settings = flow_run.settings if flow_run else None
    if not isinstance(settings, RetrainSettings) or settings.stages_at_once == 1 or alone:
        with _alone, _threads(settings.threads if isinstance(settings, RetrainSettings) else 0):
            if _is_closing:
                raise OmniError(CLOSING)
            return function(*args, **kwargs)
    with _borrowed(threads_a_stage(settings.threads, settings.stages_at_once)) as worker:
        return worker.run(function.__module__, function.__name__, args, kwargs)


def _threads(count: int) -> Any:
    if not count:
        return nullcontext()
    from omni_core.precision import threads

    return threads(count)


def stop_workers() -> None:
    """End every worker at once: when the flow has no more use for them, or has failed and waits for nothing."""
    with _lock:
        for worker in _all:
            worker.process.terminate()
        _all.clear()
        _idle.clear()


class Branches(ThreadPoolTaskRunner):
    """Prefect's threads, one a branch. However the flow ends, Ctrl-C between two lines too, its workers end first, so
    that no thread waits for work that nobody wants."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        with _closing():
            super().__exit__(kind, error, traceback)


@contextmanager
def _closing() -> Iterator[None]:
    """Within the block no stage is at work in a worker, and none begins."""
    global _is_closing
    with _lock:
        _is_closing = True
    stop_workers()
    try:
        yield
    finally:
        _is_closing = False


def finish(*stages: PrefectFuture[Any] | list[PrefectFuture[Any]]) -> None:
    """Wait for all. The first that fails, or Ctrl-C, ends the others, which keep their checkpoints; its error is raised."""
    futures = [future for stage in stages for future in (stage if isinstance(stage, list) else [stage])]
    follows = None
    try:
        for future in as_completed(futures):
            try:
                future.result()
            except UpstreamTaskError as error:  # it waited for another one: that one's own error is to come
                follows = error
        if follows:
            raise follows
    finally:
        stop_workers()
