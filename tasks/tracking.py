"""Artifacts enter, MLflow runs leave. With `registry` and `served_model` the only modules that know MLflow.

One MLflow run a flow run, opened by the first stage that really runs; a run in which nothing was computed leaves none.
The server is MLFLOW_TRACKING_URI when that is set, else <home>/mlflow.db with files beside it in <home>/mlflow.

The process of a flow run holds <home>/running/<flow run>.lock. The kernel frees it with the process, so a lock that can be had
is a run that was killed: the next start of the same home says so in MLflow.
"""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.base import Artifact, Settings
from data_contracts.errors import PromotionError
from tasks.home import local_folder, store_of

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient


EXPERIMENT = "omnirefit"
CURVE = "curve.parquet"
RUNNING = "running"
ANSWERS_WITHIN_S = 10
MOST_RUNS = 5000
RUN_LOCK_S = 30
"""A start that looks whether a run is dead holds its lock for a moment."""
USERS_SERVER = os.environ.get("MLFLOW_TRACKING_URI")  # read now: mlflow.set_tracking_uri writes the variable
_open_runs: dict[str, tuple[str, str]] = {}
"""Flow run -> home and MLflow run."""
_kept: dict[str, dict[str, dict[str, Any]]] = {}
"""Flow run -> file name -> what is logged when its MLflow run is opened."""
_alive: dict[str, BaseFileLock] = {}
"""Flow run -> the lock that says that this process is at it."""


@dataclass(frozen=True)
class FlowRun:
    """The flow run that the artifacts belong to."""

    id: str
    home: str
    settings: Settings | None = None
    name: str = "retrain"


def tracking_uri(home: str) -> str:
    """The user's server, or a database in the local folder."""
    return USERS_SERVER or f"sqlite:///{local_folder(home) / 'mlflow.db'}"


def connect(home: str) -> MlflowClient:
    """MLflow's client, pointed at the right server."""
    import mlflow

    local_folder(home).mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(tracking_uri(home))
    return mlflow.MlflowClient()


def check_it_answers(home: str) -> None:
    """Raise PromotionError when the user's server is down: MLflow itself tries for minutes, a person wants to know now."""
    uri = tracking_uri(home)
    if not uri.startswith(("http://", "https://")):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWERS_WITHIN_S).close()
    except urllib.error.HTTPError:
        return  # it asks for a password, or is not MLflow's own server: MLflow's client says what is wrong
    except (OSError, ValueError) as error:
        raise PromotionError(
            f"the registry {uri} does not answer ({getattr(error, 'reason', error)}); start it, or correct "
            "MLFLOW_TRACKING_URI; nothing was promoted"
        ) from error


# ---------------------------------------------------------------- runs


def run_of(flow_run: FlowRun) -> str:
    """The id of the flow run's MLflow run; opened, with the settings as parameters, when there is none yet."""
    if flow_run.id in _open_runs:
        return _open_runs[flow_run.id][1]
    check_it_answers(flow_run.home)
    client = connect(flow_run.home)
    experiment_id = experiment(client, flow_run.home, EXPERIMENT)
    end_killed_runs(flow_run.home)
    _hold(flow_run)
    found = client.search_runs([experiment_id], f"tags.`prefect.flow_run_id` = '{flow_run.id}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")  # another process goes on with it
    else:
        tags = {"prefect.flow_run_id": flow_run.id}
        run_id = client.create_run(experiment_id, tags=tags, run_name=flow_run.name).info.run_id
        _log_params(client, run_id, flow_run.settings)
        for name, content in _kept.pop(flow_run.id, {}).items():
            client.log_dict(run_id, content, name)
    _open_runs[flow_run.id] = (flow_run.home, run_id)
    return run_id


def keep_for_run(flow_run: FlowRun, name: str, content: dict[str, Any]) -> None:
    """Log a small dictionary when the MLflow run is opened: a run in which nothing is computed opens none."""
    _kept.setdefault(flow_run.id, {})[name] = content


def experiment(client: MlflowClient, home: str, name: str) -> str:
    """The id of an experiment, made when it is not there; its files lie in the home, or where the user's server says."""
    known = client.get_experiment_by_name(name)
    if known:
        return known.experiment_id
    files = None if USERS_SERVER else (local_folder(home) / "mlflow").as_uri()
    return client.create_experiment(name, files, {"mlflow.experimentKind": "custom_model_development"})  # the UI's half


def end_killed_runs(home: str) -> list[str]:
    """Mark runs that are RUNNING while their process is gone as KILLED; returns them. Runs of other homes are left."""
    from filelock import Timeout

    killed: list[str] = []
    for path in sorted((local_folder(home) / RUNNING).glob("*.lock")):
        if path.stem in _alive:
            continue
        try:
            with _lock(path):
                killed += _kill(home, path.stem)
                path.unlink(missing_ok=True)
        except Timeout:
            continue  # somebody is at it
    return killed


def _kill(home: str, flow_run_id: str) -> list[str]:
    client = connect(home)
    experiment_id = experiment(client, home, EXPERIMENT)
    wanted = f"tags.`prefect.flow_run_id` = '{flow_run_id}' and attributes.status = 'RUNNING'"
    runs = [run.info.run_id for run in client.search_runs([experiment_id], wanted)]
    for run_id in runs:
        client.set_terminated(run_id, "KILLED")
    return runs


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    # the run is opened by one of Prefect's threads and closed by another
    return FileLock(path, timeout=0, thread_local=False)


def _hold(flow_run: FlowRun) -> None:
    """Taken before the run is opened, so that a kill between the two leaves no run that nobody ends."""
    if flow_run.id not in _alive:
        folder = local_folder(flow_run.home) / RUNNING
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder / f"{flow_run.id}.lock")
        lock.acquire(timeout=RUN_LOCK_S)
        _alive[flow_run.id] = lock


def _release(flow_run_id: str) -> None:
    if lock := _alive.pop(flow_run_id, None):
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _log_params(client: MlflowClient, run_id: str, settings: Settings | None) -> None:
    from mlflow.entities import Param

    params = [Param(name, str(value)) for name, value in flatten(settings.model_dump() if settings else {})]
    for start in range(0, len(params), 100):  # MLflow's limit of one batch
        client.log_batch(run_id, params=params[start : start + 100])


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} -> ("a.b", 1)."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def log_stage(flow_run: FlowRun, role: str, artifact: Artifact) -> None:
    """Metrics, training curve and lineage of one stage's artifact; a role that was logged before is left alone."""
    from mlflow.entities import Metric, RunTag

    client, run_id = connect(flow_run.home), run_of(flow_run)
    if f"lineage.{role}" in client.get_run(run_id).data.tags:
        return
    now_ms, prefix = int(time.time() * 1000), role.replace(" ", "_")
    curve = list(_curve(flow_run, artifact))
    drawn = {name for _, name, _ in curve}
    points = [(0, name, value) for name, value in numbers(artifact.facts) if name not in drawn] + curve
    metrics = [Metric(f"{prefix}/{name}", value, now_ms, step) for step, name, value in points]
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    client.log_dict(run_id, artifact.model_dump(), f"lineage/{prefix}.json")
    client.log_batch(run_id, tags=[RunTag(f"lineage.{role}", f"{artifact.kind_name}/{artifact.digest}")])


def numbers(facts: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers among an artifact's facts, by dotted name; a metric's {value, unit, ...} counts as its value."""
    for name, value in facts.get("metrics", {}).items():
        yield name, float(value["value"])
    for name, value in flatten({name: value for name, value in facts.items() if name != "metrics"}):
        if isinstance(value, bool | int | float):
            yield name, float(value)


def _curve(flow_run: FlowRun, artifact: Artifact) -> Iterator[tuple[int, str, float]]:
    if CURVE not in artifact.files:
        return
    import pyarrow.parquet as pq

    for row in pq.read_table(store_of(flow_run.home).folder(artifact) / CURVE).to_pylist():
        yield row["step"], row["name"], row["value"]


def log_folder(flow_run: FlowRun, folder: Path, name: str) -> None:
    """Files of a folder, as artifacts under `name`."""
    connect(flow_run.home).log_artifacts(run_of(flow_run), str(folder), name)


def log_texts(flow_run: FlowRun, texts: dict[str, str], name: str) -> None:
    """Texts by file name (an SVG is one), as artifacts under `name`."""
    client, run_id = connect(flow_run.home), run_of(flow_run)
    for file, text in texts.items():
        client.log_text(run_id, text, f"{name}/{file}")


def close_run(flow_run_id: str, status: str) -> None:
    """End the flow run's MLflow run as FINISHED or FAILED, if this process opened one."""
    _kept.pop(flow_run_id, None)
    if flow_run_id in _open_runs:
        home, run_id = _open_runs.pop(flow_run_id)
        connect(home).set_terminated(run_id, status)
        _release(flow_run_id)


def lineage_of_run(home: str, prefix: str) -> tuple[str, dict[str, str]]:
    """A flow run's MLflow run, by the first characters of its id, and stage -> digest. Raises PromotionError."""
    check_it_answers(home)
    client = connect(home)
    experiment_id = experiment(client, home, EXPERIMENT)
    runs = {run.info.run_id: run for run in client.search_runs([experiment_id], max_results=MOST_RUNS)}
    found = [run_id for run_id in runs if run_id.startswith(prefix)]
    if len(found) != 1:
        raise PromotionError(
            f"{len(found) or 'no'} runs of {tracking_uri(home)} begin with '{prefix}'; give the id of one"
        )
    tags = runs[found[0]].data.tags
    digests = {
        key.removeprefix("lineage."): value.split("/")[1] for key, value in tags.items() if key.startswith("lineage.")
    }
    return found[0], digests


def page_of(home: str, role: str, artifact: Artifact) -> str | None:
    """Address in MLflow's UI of the newest run that made this artifact; None when no server shows it, or no run has it.

    It may be a run before: a stage whose artifact came from the cache has logged nothing today.
    """
    uri = tracking_uri(home)
    if not uri.startswith(("http://", "https://")):
        return None
    client = connect(home)
    made = f"tags.`lineage.{role}` = '{artifact.kind_name}/{artifact.digest}'"
    found = client.search_runs([experiment(client, home, EXPERIMENT)], made, max_results=1)
    return (
        f"{uri.rstrip('/')}/#/experiments/{found[0].info.experiment_id}/runs/{found[0].info.run_id}" if found else None
    )
