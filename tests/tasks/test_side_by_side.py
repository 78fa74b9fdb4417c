"""Real flows of small stages, in real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_contracts.errors import OmniError, SourceError
from data_contracts.retrain import RetrainSettings
from tests.tasks import branches

pytestmark = pytest.mark.timeout(300)


def settings(home: Path, at_once: int = 2, threads: int = 2) -> RetrainSettings:
    return RetrainSettings(home=str(home), stages_at_once=at_once, threads=threads)


def is_alive(process: int) -> bool:
    """A zombie that nobody has waited for yet is dead."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def wait_for_death(process: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.1)
    return not is_alive(process)


def test_two_stages_run_at_once_in_processes_that_share_the_threads_and_no_random_numbers(
    prefect_server, tmp_path, capfd
):
    (left, threads, drawn), (right, *same) = branches.meeting(settings(tmp_path))
    assert left != right and os.getpid() not in (left, right)
    assert threads == 1 and same == [threads, drawn]
    assert "meeting left: met 1/1" in capfd.readouterr().err  # the progress of another process is shown by this one


def test_stages_one_after_the_other_run_in_this_process(prefect_server, tmp_path):
    assert branches.one_by_one(settings(tmp_path, at_once=1)) == [os.getpid()] * 2


def test_the_first_error_is_raised_as_it_was_and_ends_the_other_branch(prefect_server, tmp_path):
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"source .x. is not a folder; correct ingest\.sources"):
        branches.failing(settings(tmp_path))
    assert time.monotonic() - started < 120, "it waited for ten minutes of work that nobody wants"
    assert wait_for_death(int((tmp_path / "at work").read_text()))
    assert not (tmp_path / "after").exists()


def test_a_stage_whose_process_was_ended_says_so(prefect_server, tmp_path):
    with pytest.raises(OmniError, match="the process of the stage 'be killed' was ended from outside"):
        branches.killed(settings(tmp_path))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_of_a_stage_outlives_its_flow(prefect_server, tmp_path, how):
    from prefect.settings import PREFECT_API_URL

    flow = subprocess.Popen(
        [sys.executable, "-m", "tests.tasks.branches", str(tmp_path)],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value() or ""}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        branches.until(tmp_path / "at work", 120)
        flow.send_signal(how)
        flow.wait(60)
        assert wait_for_death(int((tmp_path / "at work").read_text()))
    finally:
        flow.kill()
