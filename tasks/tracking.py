"""Artifacts enter, MLflow runs and registered versions leave. The only module that knows MLflow (with served_model).

One MLflow run a flow run, opened by the first stage that really runs; a run in which nothing was computed leaves none.
The server is MLFLOW_TRACKING_URI when that is set, else <home>/mlflow.db with files beside it in <home>/mlflow.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_contracts.base import Artifact
from data_contracts.errors import PromotionError
from data_contracts.quantize import QuantizedModel
from data_contracts.retrain import RetrainSettings
from omni_core.store import CARD
from tasks.home import local_folder, store_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "omnirefit"
CURVE = "curve.parquet"
USERS_SERVER = os.environ.get("MLFLOW_TRACKING_URI")  # read now: mlflow.set_tracking_uri writes the variable
_open_runs: dict[str, tuple[str, str]] = {}
"""Flow run -> home and MLflow run."""
_kept: dict[str, dict[str, dict[str, Any]]] = {}
"""Flow run -> file name -> what is logged when its MLflow run is opened."""


@dataclass(frozen=True)
class FlowRun:
    """The flow run that the artifacts belong to."""

    id: str
    home: str
    settings: RetrainSettings | None = None


@dataclass(frozen=True)
class Version:
    """A registered version and the lineage that its tags hold."""

    number: str
    model: str
    """Digest of the QuantizedModel."""
    champion_before: str
    """Digest of the QuantizedModel that it was compared with, or empty."""


def tracking_uri(home: str) -> str:
    """The user's server, or a database in the local folder."""
    return USERS_SERVER or f"sqlite:///{local_folder(home) / 'mlflow.db'}"


def connect(home: str) -> MlflowClient:
    """MLflow's client, pointed at the right server."""
    import mlflow

    local_folder(home).mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(tracking_uri(home))
    return mlflow.MlflowClient()


# ---------------------------------------------------------------- runs


def run_of(flow_run: FlowRun) -> str:
    """The id of the flow run's MLflow run; opened, with the settings as parameters, when there is none yet."""
    if flow_run.id in _open_runs:
        return _open_runs[flow_run.id][1]
    client = connect(flow_run.home)
    experiment_id = _experiment(client, flow_run.home)
    found = client.search_runs([experiment_id], f"tags.`prefect.flow_run_id` = '{flow_run.id}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
    else:
        title = flow_run.settings.title if flow_run.settings else "retrain"
        tags = {"prefect.flow_run_id": flow_run.id}
        run_id = client.create_run(experiment_id, tags=tags, run_name=title).info.run_id
        _log_params(client, run_id, flow_run.settings)
        for name, content in _kept.pop(flow_run.id, {}).items():
            client.log_dict(run_id, content, name)
    _open_runs[flow_run.id] = (flow_run.home, run_id)
    return run_id


def keep_for_run(flow_run: FlowRun, name: str, content: dict[str, Any]) -> None:
    """Log a small dictionary when the MLflow run is opened: a run in which nothing is computed opens none."""
    _kept.setdefault(flow_run.id, {})[name] = content


def _experiment(client: MlflowClient, home: str) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known:
        return known.experiment_id
    return client.create_experiment(EXPERIMENT, None if USERS_SERVER else (local_folder(home) / "mlflow").as_uri())


def _log_params(client: MlflowClient, run_id: str, settings: RetrainSettings | None) -> None:
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


def close_run(flow_run_id: str, status: str) -> None:
    """End the flow run's MLflow run as FINISHED or FAILED, if this process opened one."""
    _kept.pop(flow_run_id, None)
    if flow_run_id in _open_runs:
        home, run_id = _open_runs.pop(flow_run_id)
        connect(home).set_terminated(run_id, status)


# ---------------------------------------------------------------- registry


def version_of(home: str, name: str, alias: str) -> Version | None:
    """The registered version that an alias points to, or None."""
    from mlflow.exceptions import MlflowException

    try:
        found = connect(home).get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return Version(str(found.version), found.tags.get("model", ""), found.tags.get("champion_before", ""))


def register(flow_run: FlowRun, name: str, folder: Path, tags: dict[str, str], licences: dict[str, str]) -> str:
    """Log a model folder as a pyfunc of the flow run and register it; returns the version's number.

    The model travels with our code (code_paths), so that a server needs the dependencies but not this repository.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    client, root = connect(flow_run.home), Path(__file__).resolve().parent.parent
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "audio")]),
        outputs=Schema([ColSpec("string", "audio"), ColSpec("string", "text"), ColSpec("long", "sample_rate_hz")]),
    )
    with mlflow.start_run(run_id=run_of(flow_run)):
        info = mlflow.pyfunc.log_model(
            name="assistant",
            python_model=str(root / "tasks" / "served_model.py"),
            artifacts={"model": str(folder)},
            code_paths=[str(root / "omni_core"), str(root / "data_contracts")],
            pip_requirements=_requirements(),
            signature=signature,
            metadata={"licences": licences},
            registered_model_name=name,
        )
    version = str(info.registered_model_version)
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    return version


def _requirements() -> list[str]:
    """What serving needs, at the versions that are installed here."""
    from importlib.metadata import version

    names = (
        "mlflow",
        "numpy",
        "onnxruntime",
        "pydantic",
        "pyarrow",
        "safetensors",
        "soundfile",
        "soxr",
        "torch",
        "torchaudio",
        "transformers",
        "hibari-tts",
        "fsspec",
        "scipy",
    )
    return [f"{name}=={version(name).split('+')[0]}" for name in names]


def load_version(home: str, name: str, which: str) -> Any:
    """The pyfunc behind models:/NAME/VERSION or models:/NAME@ALIAS; raises PromotionError when it cannot be loaded."""
    import mlflow

    connect(home)
    uri = f"models:/{name}{which if which.startswith('@') else '/' + which}"
    try:
        return mlflow.pyfunc.load_model(uri)
    except Exception as error:
        raise PromotionError(f"{uri} cannot be loaded from {tracking_uri(home)}: {error}") from error


def restore_model(home: str, name: str, version: str) -> QuantizedModel:
    """The model of a registered version, put back into the store under the digest that it had."""
    import mlflow

    connect(home)
    version_folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
    (model_folder,) = (version_folder / "artifacts").iterdir()
    card = QuantizedModel.model_validate_json((model_folder / CARD).read_text())
    store = store_of(home)
    with store.scratch(QuantizedModel.kind) as folder:
        shutil.copytree(model_folder, folder, dirs_exist_ok=True)
        made = store.commit(
            QuantizedModel,
            folder,
            facts=card.facts,
            settings=card.settings,
            licences=card.licences,
            code_digest=card.code_digest,
        )
    return made


def point_alias(home: str, name: str, alias: str, version: str) -> None:
    """Move the alias; the last step of a promotion."""
    connect(home).set_registered_model_alias(name, alias, version)
