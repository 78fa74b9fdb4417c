"""A model, its evaluation and its verdict enter; nothing leaves, or an ArtifactError: they are whole and belong together.

model <- evaluation <- verdict      by digest; a verdict about another model promotes nobody
"""

from __future__ import annotations

import json
from pathlib import Path

from data_contracts.base import Artifact
from data_contracts.compare import Verdict
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluationReport
from data_contracts.quantize import QuantizedModel
from omni_core.store import CARD, ArtifactStore, content_digest, describe_files

TOLD_IN = {
    "verdict": ("verdict.json", ""),
    "evaluation": ("metrics.json", "metrics"),
    "latency": ("latency.json", ""),
    "consistency": ("consistency.json", ""),
}
"""Kind -> the file that holds what the card's facts tell, and under which of the facts."""
NOT_PACKED = ("__pycache__", "registered_model_meta")
"""What loading and downloading leave in a version's folder."""
_MEND = "restore the registry's artifacts from a backup, or run the flow again, it registers a new version"


def check_evidence(store: ArtifactStore, model: QuantizedModel, evaluation: EvaluationReport, verdict: Verdict) -> None:
    """Every file has its sha256, the verdict says what its card says, and each names the one before it."""
    for artifact in (model, evaluation, verdict):
        check_card(store, artifact)
    if verdict.inputs.get("challenger") != evaluation.digest or evaluation.inputs.get("model") != model.digest:
        raise ArtifactError(
            f"verdict/{verdict.digest} is not about model/{model.digest}: it judged evaluation "
            f"{verdict.inputs.get('challenger')}; run the flow again"
        )


def check_card(store: ArtifactStore, artifact: Artifact) -> None:
    """Every file has its sha256, the files make the card's digest, and the card tells what they say.

    The digest is of the files: what a card repeats of them (TOLD_IN) could be edited in the card alone.
    """
    folder = store.verify(artifact)
    if content_digest(artifact.files) != artifact.digest:
        raise ArtifactError(
            f"the card of {artifact.kind_name}/{artifact.digest} was altered (its files make another digest); "
            "delete that folder and run the flow again"
        )
    name, key = TOLD_IN.get(artifact.kind_name, ("", ""))
    if name not in artifact.files:
        return
    told = artifact.facts.get(key, {}) if key else artifact.facts
    if json.loads((folder / name).read_text()) != json.loads(json.dumps(told)):
        raise ArtifactError(
            f"{artifact.kind_name}/{artifact.digest} was altered: its card says {_said(artifact)}, which "
            f"{name} does not; delete that folder and run the flow again"
        )


def _said(artifact: Artifact) -> str:
    return str(artifact.facts.get("decision") or "other figures")


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
