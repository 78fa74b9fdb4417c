"""Small stages and flows for the tests of side_by_side: importable, as a stage's process asks for them by module and name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from prefect import flow

from data_contracts.errors import SourceError
from data_contracts.retrain import RetrainSettings
from tasks.progress import shown
from tasks.side_by_side import AT_ONCE, Branches, finish
from tasks.stage import stage


@stage(cached=False, beside_others=True)
def meet(own: str, other: str, home: str) -> list[int]:
    """Ends only when the other one has begun: its process, torch's threads and a seeded random number."""
    import torch

    Path(home, own).write_text("here")
    with shown(f"meeting {other}") as progress:
        until(Path(home, other))
        progress(1, 1, "met")
    torch.manual_seed(7)
    return [os.getpid(), torch.get_num_threads(), int(torch.randint(1 << 30, ()))]


@stage(cached=False, beside_others=True)
def alone(home: str) -> int:
    """The process it runs in."""
    return os.getpid()


@stage(cached=False, beside_others=True)
def refuse(home: str) -> None:
    """Bad input, once the other branch is at work."""
    until(Path(home, "at work"))
    raise SourceError("source 'x' is not a folder; correct ingest.sources")


@stage(cached=False, beside_others=True)
def work_long(home: str) -> None:
    """Ten minutes of work."""
    Path(home, "at work").write_text(str(os.getpid()))
    time.sleep(600)


@stage(cached=False, beside_others=True)
def after(value: object, home: str) -> None:
    """Reads what another stage made."""
    Path(home, "after").write_text("ran")


@stage(cached=False, beside_others=True)
def be_killed(home: str) -> None:
    """As the kernel does when memory is out."""
    os.kill(os.getpid(), signal.SIGKILL)


def until(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.02)


two_branches = Branches(max_workers=AT_ONCE)


@flow(task_runner=two_branches, persist_result=False)
def meeting(settings: RetrainSettings) -> list[list[int]]:
    left, right = meet.submit("left", "right", settings.home), meet.submit("right", "left", settings.home)
    finish(left, right)
    return [left.result(), right.result()]


@flow(task_runner=two_branches, persist_result=False)
def one_by_one(settings: RetrainSettings) -> list[int]:
    stages = [alone.submit(settings.home), alone.submit(settings.home)]
    finish(stages)
    return [one.result() for one in stages]


@flow(task_runner=two_branches, persist_result=False)
def failing(settings: RetrainSettings) -> None:
    refused = refuse.submit(settings.home)
    long = work_long.submit(settings.home)
    follows = after.submit(refused, settings.home)
    finish(follows, long, refused)


@flow(task_runner=two_branches, persist_result=False)
def killed(settings: RetrainSettings) -> None:
    finish(be_killed.submit(settings.home))


@flow(task_runner=two_branches, persist_result=False)
def long(settings: RetrainSettings) -> None:
    finish(work_long.submit(settings.home))


if __name__ == "__main__":
    import sys

    from tests.tasks import branches

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started us in the background ignored it

    branches.long(RetrainSettings(home=sys.argv[1]))
