"""Model folders and history lines enter MLflow's model registry, versions, aliases and lines leave it.

What MLflow itself makes atomic is all that is relied on, so a database and a server behave alike: a registered model's
name exists once, an alias points to one version, and a parameter of a run is never written over. So the history is a
run whose parameters are its lines: of two writers of line 7 one wins, and no line can be changed afterwards.

    registered model   tag history_run -> run in experiment omnirefit-history, params line.000007, settled.000007
      version 3        tags (verdict, lineage, licences), the model card as description, source: a pyfunc from code
        artifacts/     <model's digest>/   proof/<questions and answers>   model_card.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data_contracts.errors import ArtifactError, PromotionError
from data_contracts.promote import HistoryEntry, Version
from omni_core.promotion_evidence import package_digest
from omni_core.promotion_history import Standing
from tasks import tracking
from tasks.tracking import connect, tracking_uri

HISTORY_EXPERIMENT = "omnirefit-history"
HISTORY_RUN = "history_run"
LINE, SETTLED = "line.", "settled."
SERVED_MODEL = Path(__file__).with_name("served_model.py")
SERVED_COLUMNS = {"audio": "string", "text": "string", "sample_rate_hz": "long", "outcome": "string"}
ROOT = Path(__file__).resolve().parent.parent
SERVED_CODE = (ROOT / "omni_core", ROOT / "data_contracts")
PAGE = 200
SERVING_PACKAGES = (
    "mlflow", "numpy", "onnxruntime", "pydantic", "pyarrow", "safetensors", "soundfile", "soxr", "torch", "torchaudio",
    "transformers", "hibari-tts", "fsspec", "scipy",
)  # fmt: skip


@contextmanager
def reached(home: str, what: str) -> Iterator[None]:
    """Troubles of the registry leave as one sentence; first of all it must answer at all, within seconds."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    tracking.check_it_answers(home)
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise PromotionError(
            f"the registry {tracking_uri(home)} refused to {what} ({_first_line(error)}); mend it and start again, `omni history` tells where it stands"
        ) from error


# ---------------------------------------------------------------- versions


def open_model(home: str, name: str) -> str:
    """The id of the run that holds the history of `name`; both are made when they are not there."""
    from mlflow.exceptions import MlflowException

    client = connect(home)
    run_id = _history_run(home, name)
    if run_id is None:
        experiment_id = tracking.experiment(client, home, HISTORY_EXPERIMENT)
        run_id = client.create_run(experiment_id, run_name=name).info.run_id
        try:  # the tag comes with the name, so that of two writers one makes the history
            client.create_registered_model(name, tags={HISTORY_RUN: run_id})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _adopt(home, name, run_id)
    return run_id


def _adopt(home: str, name: str, run_id: str) -> str:
    """A registered model that was there: with its own history, or from before there were histories."""
    client, theirs = connect(home), _history_run(home, name)
    if theirs is None:
        client.set_registered_model_tag(name, HISTORY_RUN, run_id)
        return run_id
    client.delete_run(run_id)
    return theirs


def _history_run(home: str, name: str) -> str | None:
    found = _registered(home, name)
    return found.tags.get(HISTORY_RUN) if found else None


def _registered(home: str, name: str) -> Any:
    """MLflow's registered model, or None; every other trouble is one, a registry that is down is not an empty one."""
    from mlflow.exceptions import MlflowException

    try:
        return connect(home).get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def versions(home: str, name: str) -> dict[str, Version]:
    """Number -> version, the newest last."""
    with reached(home, f"list the versions of {name}"):
        client = connect(home)
        page = client.search_model_versions(f"name = '{name}'", max_results=PAGE)
        found = list(page)
        while page.token:
            page = client.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=page.token)
            found += page
    rows = [
        Version(
            number=str(v.version),
            made=datetime.fromtimestamp(v.creation_timestamp / 1000, UTC),
            tags=dict(v.tags),
            run_id=v.run_id or "",
        )
        for v in found
    ]
    return {row.number: row for row in sorted(rows, key=lambda row: int(row.number))}


def register(
    home: str, run_id: str, name: str, artifacts: dict[str, Path], tags: dict[str, str], card: Path, description: str
) -> str:
    """Log a pyfunc of a run and register it with its tags, at once and whole; returns the version's number.

    The model travels with our code (code_paths), so that a server needs the dependencies but not this repository.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    client = connect(home)
    with reached(home, f"open {name}"):
        open_model(home, name)
    status = client.get_run(run_id).info.status
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "audio")]),
        outputs=Schema([ColSpec(kind, name) for name, kind in SERVED_COLUMNS.items()]),
    )
    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="assistant",
            python_model=str(SERVED_MODEL),
            artifacts={role: str(path) for role, path in artifacts.items()} | {"card": str(card)},
            code_paths=[str(path) for path in SERVED_CODE],
            pip_requirements=_requirements(),
            signature=signature,
        )
    client.update_run(run_id, status=status)  # start_run ended it
    client.log_artifact(run_id, str(card))
    with package_of(home, info.model_uri) as folder:
        tags = tags | {"package": package_digest(folder)}
    made = client.create_model_version(
        name, source=info.model_uri, run_id=run_id, tags=tags, description=description, model_id=info.model_id
    )
    return str(made.version)


def _requirements() -> list[str]:
    """What serving needs, at the versions that are installed here."""
    from importlib.metadata import version

    return [f"{name}=={version(name).split('+')[0]}" for name in SERVING_PACKAGES]


@contextmanager
def package_of(home: str, uri: str) -> Iterator[Path]:
    """The folder behind models:/...: the registry's own when its files lie here, else a download that is removed."""
    with tempfile.TemporaryDirectory(prefix="omnirefit-version-") as target:
        yield _package(home, uri, target)


def _package(home: str, uri: str, target: str) -> Path:
    import mlflow

    connect(home)
    tracking.check_it_answers(home)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=None if _lies_here(uri) else target))
        if (folder / "MLmodel").is_file():
            return folder
        cause = "the file MLmodel is missing"
    except (mlflow.exceptions.MlflowException, OSError) as error:
        cause = _first_line(error)
    raise ArtifactError(
        f"{uri} has lost its artifacts in {tracking_uri(home)} ({cause}); restore the registry's artifacts from a "
        "backup, or run the flow again, it registers a new version; nothing was promoted"
    )


def _lies_here(uri: str) -> bool:
    """The files are of this machine, also behind a server: they are read where they lie, as a model is gigabytes."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    found = get_artifact_repository(uri)
    return isinstance(getattr(found, "repo", found), LocalArtifactRepository)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def load_version(home: str, name: str, which: str) -> Any:
    """The pyfunc behind models:/NAME/VERSION or models:/NAME@ALIAS; raises PromotionError when it cannot be loaded."""
    import mlflow

    connect(home)
    tracking.check_it_answers(home)
    uri = f"models:/{name}{which if which.startswith('@') else '/' + which}"
    try:
        return mlflow.pyfunc.load_model(uri)
    except Exception as error:
        raise PromotionError(f"{uri} cannot be loaded from {tracking_uri(home)}: {error}") from error


def load_package(folder: Path, what: str) -> Any:
    """The pyfunc of a version's folder, as load_version loads it; raises PromotionError when it cannot be loaded."""
    import mlflow

    try:
        return mlflow.pyfunc.load_model(str(folder))
    except Exception as error:
        raise PromotionError(
            f"{what} cannot be loaded: {error}; run the flow again, it registers a new version"
        ) from error


# ---------------------------------------------------------------- history and aliases


def standing(home: str, name: str, alias: str) -> Standing:
    """History, aliases and versions as they are now. Raises PromotionError for a history that cannot be read."""
    with reached(home, f"tell where {name} stands"):
        found = _registered(home, name)
        if found is None:
            return Standing(name, alias, (), frozenset(), {}, frozenset())
        run_id = found.tags.get(HISTORY_RUN)
        params = _lines(home, name, run_id) if run_id else {}
        aliases = {key: str(number) for key, number in found.aliases.items()}
        return Standing(name, alias, _entries(name, params), _settled(params), aliases, frozenset(versions(home, name)))


def _lines(home: str, name: str, run_id: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        run = connect(home).get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        run = None
    if run is None or run.info.lifecycle_stage != "active":
        raise PromotionError(
            f"the history of {name} (run {run_id} of experiment {HISTORY_EXPERIMENT}) was deleted by hand; restore that "
            "run in MLflow; nothing was promoted"
        )
    return dict(run.data.params)


def _entries(name: str, params: dict[str, str]) -> tuple[HistoryEntry, ...]:
    try:
        found = [HistoryEntry.model_validate_json(params[key]) for key in sorted(params) if key.startswith(LINE)]
    except ValidationError as error:
        raise PromotionError(
            f"a line of the history of {name} was altered in MLflow's database and cannot be read "
            f"({error.errors()[0]['msg']}); put the database's backup back; nothing was promoted"
        ) from error
    return tuple(found)


def _settled(params: dict[str, str]) -> frozenset[int]:
    return frozenset(int(key.removeprefix(SETTLED)) for key in params if key.startswith(SETTLED))


def append(home: str, name: str, entry: HistoryEntry) -> None:
    """Write a line; the point at which a promotion happens. Raises PromotionError when another writer was faster."""
    from mlflow.exceptions import MlflowException

    with reached(home, f"write line {entry.number} of the history of {name}"):
        run_id = open_model(home, name)
        try:
            connect(home).log_param(run_id, f"{LINE}{entry.number:06d}", entry.model_dump_json())
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise PromotionError(
                f"another promotion of {name} was faster (line {entry.number} of its history): version {entry.version} "
                "was not promoted; look at `omni history` and run the flow again to compare with the new champion"
            ) from error


def settle(home: str, name: str, number: int, aliases: dict[str, str]) -> None:
    """Move the aliases of a line (empty: remove), then note that it is settled."""
    with reached(home, f"move the aliases of {name}"):
        client = connect(home)
        for alias, version in aliases.items():
            if version:
                client.set_registered_model_alias(name, alias, version)
            else:
                client.delete_registered_model_alias(name, alias)
        client.log_param(open_model(home, name), f"{SETTLED}{number:06d}", "yes")
