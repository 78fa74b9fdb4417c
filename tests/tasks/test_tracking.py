import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_contracts.compare import Verdict
from data_contracts.components import CodecSettings
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint
from tasks import tracking
from tasks.home import store_of
from tasks.tracking import FlowRun, flatten, numbers

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    home = str(tmp_path_factory.mktemp("home"))
    run = FlowRun("flow-1", home, RetrainSettings(title="tiny", home=home))
    yield run
    tracking.close_run("flow-1", "FINISHED")


def checkpoint(home: str) -> Checkpoint:
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = store_of(home)
    with store.scratch("checkpoint") as folder:
        rows = [{"step": step, "name": "loss", "value": 1.0 / step} for step in (1, 2, 4)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "curve.parquet")
        return store.commit(Checkpoint, folder, facts={"steps": 4, "loss": {"first": 1.0, "last": 0.25}})


def test_groups_become_dotted_names():
    assert list(flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3})) == [("a.b", 1), ("a.c.d", 2), ("e", 3)]


def test_of_facts_the_numbers_are_metrics():
    facts = {"metrics": {"wer": {"value": 0.1, "unit": "fraction"}}, "rows": 3, "voice": "hibari", "passed": True}
    assert dict(numbers(facts)) == {"wer": 0.1, "rows": 3.0, "passed": 1.0}


def test_a_flow_run_is_one_mlflow_run_with_settings_curves_and_lineage(around):
    made = checkpoint(around.home)
    tracking.log_stage(around, "train speak", made)
    tracking.log_stage(around, "train speak", made)
    client, run_id = tracking.connect(around.home), tracking.run_of(around)
    data = client.get_run(run_id).data
    assert data.params["components.codec.patch_frames"] == str(CodecSettings().patch_frames)
    assert data.tags["lineage.train speak"] == f"checkpoint/{made.digest}"
    assert data.metrics["train_speak/loss.last"] == 0.25
    history = client.get_metric_history(run_id, "train_speak/loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 1.0), (2, 0.5), (4, 0.25)]


def test_a_process_that_goes_on_with_a_flow_run_finds_its_mlflow_run(around):
    run_id = tracking.run_of(around)
    tracking._open_runs.clear()
    assert tracking.run_of(around) == run_id


def test_a_closed_run_says_how_it_ended(around, tmp_path):
    run_id = tracking.run_of(around)
    tracking.close_run("flow-1", "FAILED")
    assert tracking.connect(around.home).get_run(run_id).info.status == "FAILED"


OPENS_A_RUN_AND_WAITS = """
import sys, time
from tasks import tracking
print(tracking.run_of(tracking.FlowRun(sys.argv[2], sys.argv[1])), flush=True)
time.sleep(600)
"""


def test_a_run_whose_process_was_killed_is_marked_at_the_next_start_and_one_at_work_is_not(around):
    command = [sys.executable, "-c", OPENS_A_RUN_AND_WAITS, around.home]
    killed, busy = (
        subprocess.Popen([*command, flow_run], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for flow_run in ("flow-killed", "flow-busy")
    )
    killed_run, busy_run = (process.stdout.readline().strip() for process in (killed, busy))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    client = tracking.connect(around.home)
    assert client.get_run(killed_run).info.status == "RUNNING"
    tracking.run_of(FlowRun("flow-next", around.home))
    assert client.get_run(killed_run).info.status == "KILLED"
    assert client.get_run(busy_run).info.status == "RUNNING"
    busy.kill()
    busy.wait()
    assert tracking.end_killed_runs(around.home) == [busy_run] and tracking.end_killed_runs(around.home) == []
    assert client.get_run(tracking.run_of(FlowRun("flow-next", around.home))).info.status == "RUNNING"
    tracking.close_run("flow-next", "FINISHED")
    assert tracking.run_of(FlowRun("flow-killed", around.home)) == killed_run
    assert client.get_run(killed_run).info.status == "RUNNING"
    tracking.close_run("flow-killed", "FINISHED")
    assert client.get_run(killed_run).info.status == "FINISHED"


def test_two_homes_are_two_databases(around, tmp_path):
    tracking.connect(around.home)
    assert tracking.tracking_uri(str(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_users_server_goes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "USERS_SERVER", "http://tracking.example:5000")
    assert tracking.tracking_uri(str(tmp_path)) == "http://tracking.example:5000"


def test_verdicts_are_artifacts_too(around):
    store = store_of(around.home)
    with store.scratch("verdict") as folder:
        (folder / "verdict.json").write_text("{}")
        verdict = store.commit(Verdict, folder, facts={"decision": "PROMOTE", "reasons": ["all gates passed"]})
    tracking.log_stage(around, "compare", verdict)
    assert (
        tracking.connect(around.home)
        .get_run(tracking.run_of(around))
        .data.tags["lineage.compare"]
        .endswith(verdict.digest)
    )
