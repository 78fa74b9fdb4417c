"""A verdict and its model enter, a Promotion leaves: the registry's alias moves last, after the loaded model has answered.

These tasks are not cached: the registry is the memory. A model that is the champion already is left as it is.
"""

from __future__ import annotations

import base64
import json

from data_contracts.compare import Verdict
from data_contracts.errors import ArtifactError
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.promote import PromoteSettings, Promotion
from data_contracts.quantize import QuantizedModel
from tasks import tracking
from tasks.home import store_of
from tasks.stage import flow_run, stage


@stage(cached=False)
def current_champion(challenger: QuantizedModel, settings: PromoteSettings, home: str) -> QuantizedModel | None:
    """The model to compare with: the champion, or, when the challenger is the champion, the one before it."""
    version = tracking.version_of(home, settings.registered_model, settings.alias)
    if version is None:
        return None
    digest = version.champion_before if version.model == challenger.digest else version.model
    return _model(digest, version, settings, home) if digest else None


def _model(digest: str, version: tracking.Version, settings: PromoteSettings, home: str) -> QuantizedModel | None:
    """By digest from the store; a champion that the store has lost is fetched back from the registry."""
    store = store_of(home)
    try:
        model = store.load(QuantizedModel, digest)
        store.folder(model)
        return model
    except ArtifactError:
        if digest != version.model:
            return None  # the one before the champion is gone: absolute gates
        return tracking.restore_model(home, settings.registered_model, version.number)


@stage(cached=False)
def promote(
    model: QuantizedModel,
    verdict: Verdict,
    evaluation: EvaluationReport,
    champion: QuantizedModel | None,
    manifest: Manifest,
    settings: PromoteSettings,
    home: str,
) -> Promotion:
    """Register a winner, load it back, let it answer, then move the alias."""
    name, alias = settings.registered_model, settings.alias
    current = tracking.version_of(home, name, alias)
    if verdict.facts["decision"] != "PROMOTE":
        number, reason = current.number if current else "", f"{verdict.facts['decision']}: the alias stays"
        return _write(False, number, reason, model, verdict, settings, home)
    if current and current.model == model.digest:
        return _write(True, current.number, "this model is the champion already", model, verdict, settings, home)
    tags = {
        "model": model.digest,
        "evaluation": evaluation.digest,
        "verdict": verdict.digest,
        "champion_before": champion.digest if champion else "",
    }
    around = flow_run(home) or tracking.FlowRun("by-hand", home)
    number = tracking.register(around, name, store_of(home).folder(model), tags, model.licences)
    _probe(name, number, manifest, home)
    tracking.point_alias(home, name, alias, number)
    return _write(True, number, "; ".join(verdict.facts["reasons"]), model, verdict, settings, home)


def _probe(name: str, number: str, manifest: Manifest, home: str) -> None:
    """The registered version, loaded as a user would load it, answers a wav with a wav and its text."""
    from omni_core.probe import check_answer, probe_question

    question = base64.b64encode(probe_question(store_of(home), manifest)).decode()
    answer = tracking.load_version(home, name, number).predict({"audio": [question]}).iloc[0]
    check_answer(base64.b64decode(answer["audio"]), answer["text"], f"version {number} of {name}")


def _write(
    promoted: bool,
    number: str,
    reason: str,
    model: QuantizedModel,
    verdict: Verdict,
    settings: PromoteSettings,
    home: str,
) -> Promotion:
    store = store_of(home)
    facts = {
        "registered_model": settings.registered_model,
        "version": number,
        "alias": settings.alias,
        "promoted": promoted,
        "reason": reason,
    }
    with store.scratch(Promotion.kind) as folder:
        (folder / "promotion.json").write_text(json.dumps(facts | {"model": model.digest}, indent=1))
        inputs = {"model": model, "verdict": verdict}
        return store.commit(Promotion, folder, inputs=inputs, settings=settings.model_dump(), facts=facts)
