"""A model, its evaluation and its verdict enter; nothing leaves, or an ArtifactError: they are whole and belong together.

model <- evaluation <- verdict      by digest; a verdict about another model promotes nobody
   ^---- latency, consistency <--- |      champion's evaluation and what people heard likewise
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_contracts.base import Artifact
from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluationReport
from data_contracts.listening_test import ListeningResult
from data_contracts.quantize import QuantizedModel
from omni_core.store import CARD, ArtifactStore, content_digest, describe_files, told

WITNESSES: dict[str, type[Artifact]] = {
    "champion": EvaluationReport,
    "latency": LatencyReport,
    "consistency": ConsistencyReport,
    "listening": ListeningResult,
}
"""What a verdict rests on beside the challenger's evaluation, by role."""
NOT_PACKED = ("__pycache__", "registered_model_meta")
"""What loading and downloading leave in a version's folder."""
_MEND = "restore the registry's artifacts from a backup, or run the flow again, it registers a new version"


def check_evidence(store: ArtifactStore, model: QuantizedModel, evaluation: EvaluationReport, verdict: Verdict) -> None:
    """Every file has its sha256, each tells what its card says, and each names the one before it, the witnesses too."""
    for artifact in (model, evaluation, verdict):
        check_card(store, artifact)
    if verdict.inputs.get("challenger") != evaluation.digest or evaluation.inputs.get("model") != model.digest:
        raise ArtifactError(
            f"verdict/{verdict.digest} is not about model/{model.digest}: it judged evaluation "
            f"{verdict.inputs.get('challenger')}; run the flow again"
        )
    for role in [role for role in WITNESSES if role in verdict.inputs]:
        witness = store.load(WITNESSES[role], verdict.inputs[role])
        check_card(store, witness)
        if role in ("latency", "consistency"):
            check_same_model(witness, model.digest)


def check_same_model(measured: Artifact, model: str | None) -> None:
    """Raises ArtifactError for a latency or consistency report of another model than the challenger."""
    if (other := measured.inputs.get("model")) != model:
        raise ArtifactError(
            f"{measured.kind_name}/{measured.digest} was measured on model {other} and not on the challenger, model {model}; "
            "run the flow again"
        )


def check_card(store: ArtifactStore, artifact: Artifact) -> None:
    """Every file has its sha256, the files make the card's digest, and the card says what they tell.

    The digest is of the files: what a card says of them, or of what they were made from, could be edited in the card alone.
    """
    folder = store.verify(artifact)
    if content_digest(artifact.files) != artifact.digest:
        raise ArtifactError(
            f"the card of {artifact.kind_name}/{artifact.digest} was altered (its files make another digest); "
            "delete that folder and run the flow again"
        )
    if artifact.told_in:
        _check_told(artifact, folder / artifact.told_in)


def _check_told(artifact: Artifact, path: Path) -> None:
    what, says = f"{artifact.kind_name}/{artifact.digest}", told(artifact)
    found = json.loads(path.read_text()) if path.name in artifact.files else {}
    if "inputs" not in found:
        raise ArtifactError(
            f"{what} does not tell in {path.name} what it was made from, as older versions did not; run the flow again, it is "
            "made anew"
        )
    differ = [name for name in sorted(says.keys() | found.keys()) if says.get(name) != found.get(name)]
    if differ:
        name = differ[0]
        raise ArtifactError(
            f"{what} was altered: its card says {_said(name, says.get(name))}, which {path.name} does not; delete that folder "
            "and run the flow again"
        )


def _said(name: str, value: Any) -> str:
    if name == "inputs":
        return f"that it was made from {value}"
    return str(value) if name == "decision" else f"other {name}"


def check_model_folder(folder: Path, digest: str, what: str) -> QuantizedModel:
    """A model's folder in a registered version: every file as its card says, and the digest that the tag names."""
    try:
        card = QuantizedModel.model_validate_json((folder / CARD).read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{what} has lost its model's card ({error}); {_MEND}") from error
    found = describe_files(folder)
    for name in sorted(card.files.keys() | found.keys()):
        if name not in found:
            raise ArtifactError(f"{what} has lost '{name}'; {_MEND}")
        if name not in card.files or found[name].sha256 != card.files[name].sha256:
            raise ArtifactError(f"{what} was altered after it was registered: '{name}' (sha256 differs); {_MEND}")
    if content_digest(found) != digest:
        raise ArtifactError(f"{what} holds another model than its tag says (digest differs); {_MEND}")
    return card


def package_digest(folder: Path) -> str:
    """Digest of a version's whole folder: model, proof, code, requirements."""
    files = {
        name: entry for name, entry in describe_files(folder).items() if not set(Path(name).parts) & set(NOT_PACKED)
    }
    return content_digest(files)
