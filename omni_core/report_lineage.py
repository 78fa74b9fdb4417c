"""Artifacts' cards enter, the report's rows about where everything came from leave: lineage, weights, settings, changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data_contracts.base import Artifact
from omni_core.bundled_weights import PREFIX, catalogue
from omni_core.preflight import VOCODER_WEIGHTS

SHORT = 12
"""Digits of a digest that the page shows; the whole one is in the title."""
MANY = 4
"""More inputs of one kind than this are counted instead of named."""


def lineage(made: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """A row an artifact: stage, kind, digest, what it was made from, code, licences, size."""
    stage_of = {artifact.digest: stage for stage, artifact in made.items()}
    return [
        {
            "stage": stage, "kind": artifact.kind_name, "digest": artifact.digest, "short": artifact.digest[:SHORT],
            "inputs": _inputs(artifact, stage_of), "code": artifact.code_digest[:SHORT],
            "licences": sorted({f"{part}: {licence}" for part, licence in artifact.licences.items()}),
            "size_mb": sum(file.size_bytes for file in artifact.files.values()) / 1e6,
        }
        for stage, artifact in made.items()
    ]  # fmt: skip


def _inputs(artifact: Artifact, stage_of: Mapping[str, str]) -> list[str]:
    """ "model <- quantize" for what the page shows, "shard 1f0c..." else; many unknown ones are counted."""
    unknown = [role for role, digest in artifact.inputs.items() if digest not in stage_of]
    named = [f"{role} ← {stage_of[digest]}" for role, digest in artifact.inputs.items() if digest in stage_of]
    if len(unknown) > MANY:
        return [*named, f"and {len(unknown)} more"]
    return [*named, *(f"{role} {artifact.inputs[role][:SHORT]}" for role in unknown)]


def set_aside(made: Mapping[str, Artifact]) -> dict[str, Any]:
    """What did not come through and why: records by the rule that they broke, and answers without speech targets."""
    facts = made["ingest"].facts if "ingest" in made else {}
    not_aligned = [answer for artifact in made.values() for answer in artifact.facts.get("not_aligned", [])]
    return {"counts": {name: facts.get(name, 0) for name in ("read", "accepted", "rejected")},
            "rules": facts.get("rejected_by_rule", {}), "not_aligned": not_aligned}  # fmt: skip


def weights_used(made: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """A row a bundle of weights that any card names or that comes as a locked dependency, with its files' sha256."""
    texts = {text for artifact in made.values() for text in _texts([artifact.settings, artifact.facts])}
    named = {text.removeprefix(PREFIX) for text in texts if text.startswith(PREFIX)}
    return [
        {"name": name, "what": bundle.what, "origin": bundle.origin, "licence": bundle.licence,
         "files": bundle.sha256 or ({bundle.dependency.wheel: bundle.dependency.sha256} if bundle.dependency else {})}
        for name, bundle in catalogue().items() if name in named or bundle.dependency
    ]  # fmt: skip


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if value.get("name") == "mel_rvq":  # every codec's settings name a vocoder; this one has it
            yield VOCODER_WEIGHTS.get(value.get("vocoder", ""), "")
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def changes(challenger: Artifact | None, champion: Artifact | None) -> list[dict[str, Any]]:
    """Components that differ between the two models: part, champion's value, challenger's."""
    if challenger is None or champion is None:
        return []
    new, old = (
        dict(flatten({key: model.facts.get(key) for key in ("components", "language", "weight_quantizer")}))
        for model in (challenger, champion)
    )
    return [
        {"part": name, "champion": old.get(name, "none"), "challenger": new.get(name, "none")}
        for name in sorted(new | old)
        if new.get(name) != old.get(name)
    ]


def settings_rows(made: Mapping[str, Artifact]) -> dict[str, list[tuple[str, Any]]]:
    """Stage -> (dotted name, value), for the stages that have settings."""
    return {stage: list(flatten(artifact.settings)) for stage, artifact in made.items() if artifact.settings}


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} -> ("a.b", 1)."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def stage_seconds(made: Mapping[str, Artifact]) -> dict[str, float]:
    """Stage -> seconds, for the cards that say so."""
    return {stage: float(artifact.facts["seconds"]) for stage, artifact in made.items() if "seconds" in artifact.facts}
