"""A verdict and its model enter, a Promotion leaves: a winner is registered with its proof, then made champion.

These tasks are not cached: the registry is the memory. A model that is the champion already is left as it is.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.errors import ArtifactError, PromotionError
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.promote import PromoteSettings, Promotion, Version
from data_contracts.quantize import QuantizedModel
from omni_core.model_card import CARD_FILE, Evidence, description, licences, lineage, model_card
from omni_core.promotion_evidence import check_evidence
from omni_core.store import ArtifactStore
from tasks import champion as champions
from tasks import registry, tracking
from tasks.approve import Approval
from tasks.concurrency import one_at_a_time
from tasks.home import store_of
from tasks.progress import shown
from tasks.stage import flow_run, stage

LONGEST_REASON = 1000


@stage(cached=False)
def current_champion(challenger: QuantizedModel, settings: PromoteSettings, home: str) -> QuantizedModel | None:
    """The model to compare with: the champion, or, when the challenger is the champion, the one before it."""
    version = champions.current(home, settings)
    tracking.end_killed_runs(home)
    if version is None:
        return None
    digest = version.champion_before if version.model == challenger.digest else version.model
    return _model(digest, version, settings, home) if digest else None


def _model(digest: str, version: Version, settings: PromoteSettings, home: str) -> QuantizedModel | None:
    """By digest from the store; a champion that the store has lost is fetched back from the registry."""
    store = store_of(home)
    try:
        model = store.load(QuantizedModel, digest)
        store.folder(model)
        return model
    except ArtifactError:
        if digest != version.model:
            return None  # the one before the champion is gone: absolute gates
        return _restore(store, version, settings, home)


def _restore(store: ArtifactStore, version: Version, settings: PromoteSettings, home: str) -> QuantizedModel:
    """The model of a registered version, put back into the store under the digest that it had."""
    name = settings.registered_model
    with (
        registry.package_of(home, f"models:/{name}/{version.number}") as package,
        store.scratch(QuantizedModel.kind) as folder,
    ):
        card = champions.check_package(package, version, f"version {version.number} of {name}")
        shutil.copytree(package / "artifacts" / version.model, folder, dirs_exist_ok=True)
        store.commit(QuantizedModel, folder)
        return store.keep_card(card)


@stage("omni_core.promotion_evidence", cached=False)
def promote(
    model: QuantizedModel,
    verdict: Verdict,
    evaluation: EvaluationReport,
    champion: QuantizedModel | None,
    manifest: Manifest,
    settings: PromoteSettings,
    home: str,
    approval: Approval | None = None,
) -> Promotion:
    """Register a winner with its proof, then promote it; see tasks.champion for the transaction.

    `approval` is a person's word, when one was asked (tasks.approve); a no leaves the alias where it is.
    """
    check_evidence(store_of(home), model, evaluation, verdict)
    current = champions.current(home, settings)
    if verdict.facts["decision"] != "PROMOTE":
        number, reason = current.number if current else "", f"{verdict.facts['decision']}: the alias stays"
        return _write(False, number, reason, model, verdict, settings, home)
    if approval and not approval.promote:
        return _write(False, current.number if current else "", approval.reason, model, verdict, settings, home)
    if current and current.model == model.digest:
        return _write(True, current.number, "this model is the champion already", model, verdict, settings, home)
    before = champion.digest if champion else ""
    if before != (current.model if current else ""):
        raise PromotionError(
            f"the champion of {settings.registered_model} changed while this run was at work (it is version "
            f"{current.number if current else 'none'} now): run the flow again, its stages are kept and it compares with "
            "that one; nothing was promoted"
        )
    with one_at_a_time(), _mlflow_run(home) as run_id, shown("promote") as progress:
        progress(0, 1, "registering the model with its proof")
        number = register_winner(run_id, model, verdict, evaluation, before, manifest, settings, home)
        said = "; ".join([approval.reason, *verdict.facts["reasons"]])[:LONGEST_REASON] if approval else ""
        line = champions.promote_version(home, number, settings, said)
    return _write(True, number, line.reason, model, verdict, settings, home)


@contextmanager
def _mlflow_run(home: str) -> Iterator[str]:
    """The flow run's MLflow run; outside of a flow one of its own."""
    around = flow_run(home)
    if around:
        yield tracking.run_of(around)
        return
    alone = tracking.FlowRun(f"by-hand-{uuid.uuid4().hex}", home)
    yield tracking.run_of(alone)
    tracking.close_run(alone.id, "FINISHED")


def register_winner(
    run_id: str,
    model: QuantizedModel,
    verdict: Verdict,
    evaluation: EvaluationReport,
    champion_before: str,
    manifest: Manifest,
    settings: PromoteSettings,
    home: str,
) -> str:
    """Number of a version with its proof and card; one that a killed promotion has registered is found again."""
    from omni_core.probe import probe_questions, write_proof

    name, store = settings.registered_model, store_of(home)
    for version in registry.versions(home, name).values():
        same = (version.model, version.tags.get("verdict")) == (model.digest, verdict.digest)
        if same and version.champion_before == champion_before and "package" in version.tags:
            return version.number
    folder = store.folder(model)
    evidence = Evidence(model, evaluation, verdict, manifest, _latency(store, verdict))
    with store.scratch("proof") as scratch:
        proof, card = scratch / champions.PROOF, scratch / CARD_FILE
        proof.mkdir()
        answers = champions.answers_of(_unregistered(folder))
        write_proof(proof, answers, probe_questions(store, manifest), f"model {model.digest[:12]}")
        shutil.copy(store.folder(verdict) / "verdict.json", proof)
        card.write_text(model_card(evidence, name, settings.alias))
        return registry.register(
            home, run_id, name, {"model": folder, "proof": proof}, _tags(evidence, champion_before), card,
            description(card.read_text()),
        )  # fmt: skip


def _unregistered(folder: Path) -> Any:
    """The model of a folder of the store behind the same code that a registered version runs, as a pyfunc answers."""
    import pandas as pd

    spec = importlib.util.spec_from_file_location(f"served_{registry.SERVED_MODEL.stem}", registry.SERVED_MODEL)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assistant, context = module.Assistant(), SimpleNamespace(artifacts={"model": str(folder)})
    assistant.load_context(context)
    return SimpleNamespace(predict=lambda table: assistant.predict(context, pd.DataFrame(table)))


def _tags(evidence: Evidence, champion_before: str) -> dict[str, str]:
    return {
        "model": evidence.model.digest,
        "evaluation": evidence.evaluation.digest,
        "verdict": evidence.verdict.digest,
        "decision": evidence.verdict.facts["decision"],
        "reason": "; ".join(evidence.verdict.facts["reasons"])[:LONGEST_REASON],
        "champion_before": champion_before,
        "lineage": json.dumps(lineage(evidence)),
        "licences": json.dumps(licences(evidence)),
    }


def _latency(store: ArtifactStore, verdict: Verdict) -> LatencyReport | None:
    return store.load(LatencyReport, verdict.inputs["latency"]) if "latency" in verdict.inputs else None


def promote_run(run: str, settings: PromoteSettings, home: str) -> str:
    """Promote what a flow run made, by its MLflow run; registers it first when that was never reached."""
    run_id, digests = tracking.lineage_of_run(home, run)
    missing = [stage for stage in ("ingest", "quantize", "evaluate", "compare") if stage not in digests]
    if missing:
        raise PromotionError(
            f"run {run_id} has no {', '.join(missing)}: it did not come to a verdict; run the flow again"
        )
    store = store_of(home)
    model, verdict = store.load(QuantizedModel, digests["quantize"]), store.load(Verdict, digests["compare"])
    evaluation, manifest = store.load(EvaluationReport, digests["evaluate"]), store.load(Manifest, digests["ingest"])
    check_evidence(store, model, evaluation, verdict)
    if verdict.facts["decision"] != "PROMOTE":
        reasons = "; ".join(verdict.facts["reasons"])
        raise PromotionError(
            f"the verdict of run {run_id} is {verdict.facts['decision']}: {reasons}; nothing was promoted"
        )
    before = ""
    if "champion" in verdict.inputs:
        before = store.load(EvaluationReport, verdict.inputs["champion"]).inputs["model"]
    number = register_winner(run_id, model, verdict, evaluation, before, manifest, settings, home)
    champions.promote_version(home, number, settings)
    return number


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
