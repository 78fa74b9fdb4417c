"""What a person calls a model enters (version, alias, or the beginning of an MLflow run's id), its artifacts leave."""

from __future__ import annotations

import json
from dataclasses import dataclass

from data_contracts.compare import Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.errors import PromotionError
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.promote import PromoteSettings
from data_contracts.quantize import QuantizedModel
from tasks import registry, tracking
from tasks.home import store_of

LENGTH_OF_A_RUN = 8
"""A number this long is the beginning of a run's id, not a version."""
STAGES = {"model": "quantize", "evaluation": "evaluate", "verdict": "compare", "manifest": "ingest"}
"""Role in a version's lineage -> stage in a run's."""


@dataclass(frozen=True)
class Known:
    """A model and what is known of it."""

    model: QuantizedModel
    evaluation: EvaluationReport
    manifest: Manifest
    consistency: ConsistencyReport | None
    """None when it was judged before that gate was there."""


def known(name: str, settings: PromoteSettings, home: str) -> Known:
    """Raises PromotionError for a name that says nothing, ArtifactError for what the store has lost."""
    digests = _of_version(name, settings, home) or _of_run(name, home)
    if missing := [role for role in STAGES if role not in digests]:
        raise PromotionError(
            f"'{name}' has no {', '.join(missing)}: it was not evaluated to its end; run the flow again"
        )
    store = store_of(home)
    consistency = store.load(Verdict, digests["verdict"]).inputs.get("consistency")
    return Known(
        store.load(QuantizedModel, digests["model"]),
        store.load(EvaluationReport, digests["evaluation"]),
        store.load(Manifest, digests["manifest"]),
        store.load(ConsistencyReport, consistency) if consistency else None,
    )


def _of_version(name: str, settings: PromoteSettings, home: str) -> dict[str, str]:
    standing = registry.standing(home, settings.registered_model, settings.alias)
    number = standing.aliases.get(name, name)
    version = registry.versions(home, settings.registered_model).get(number)
    if version:
        return json.loads(version.tags.get("lineage", "{}"))
    if name in (settings.alias, settings.previous_alias) or (number.isdigit() and len(number) < LENGTH_OF_A_RUN):
        raise PromotionError(
            f"{settings.registered_model} has no version '{name}'; there are: {', '.join(standing.versions) or 'none'}"
        )
    return {}


def _of_run(name: str, home: str) -> dict[str, str]:
    _, digests = tracking.lineage_of_run(home, name)
    return {role: digests[stage] for role, stage in STAGES.items() if stage in digests}
