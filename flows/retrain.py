"""The whole journey: sources of speech enter, a model that is proven and promoted leaves, or a clear reason why not.

Read the body aloud. Each line is one stage; a stage runs again only when something that it reads has changed.
"""

from __future__ import annotations

from prefect import flow

from data_contracts.retrain import Outcome, RetrainSettings
from flows.training import train
from tasks.approve import approve
from tasks.benchmark import benchmark
from tasks.compare import compare
from tasks.consistency import check_consistency
from tasks.evaluate import evaluate, evaluate_champion
from tasks.ingest import ingest
from tasks.notify import tell_outcome
from tasks.plan import announce
from tasks.promote import current_champion, promote
from tasks.quantize import quantize
from tasks.report import report
from tasks.side_by_side import AT_ONCE, Branches
from tasks.stage import close_tracking
from tasks.ui_artifacts import show_outcome

two_branches = Branches(max_workers=AT_ONCE)  # one hears, one speaks; in the order of their lines


@flow(
    task_runner=two_branches,
    persist_result=False,
    flow_run_name="{settings.title}",
    on_completion=[close_tracking, tell_outcome],
    on_failure=[close_tracking, tell_outcome],
    on_crashed=[close_tracking, tell_outcome],
)
def retrain(settings: RetrainSettings) -> Outcome:
    """Fit the speech parts to the components that the settings name, prove the result, and promote it if it won."""
    home, parts = settings.home, settings.components
    plan = announce(settings)

    manifest = ingest(settings.ingest, home)
    trained = train(manifest, settings, plan.starts)  # features, codec, the speech head's stages: flows/training.py
    weights = trained.language_model
    model = quantize(trained.checkpoints, trained.codec, manifest, parts, settings.quantize, weights, home)

    consistency = check_consistency(model, manifest, settings.consistency, settings.evaluate.judge, home)
    champion = current_champion(model, settings.promote, home)
    latency = benchmark(model, manifest, settings.benchmark, home, champion)
    evaluation = evaluate(model, manifest, settings.evaluate, home)
    champion_evaluation = evaluate_champion(champion, manifest, settings.evaluate, home) if champion else None
    verdict = compare(evaluation, champion_evaluation, latency, consistency, settings.compare, home)

    journey = {
        "ingest": manifest,
        **trained.journey,
        "quantize": model,
        "check consistency": consistency,
        "benchmark": latency,
        "evaluate": evaluation,
        "evaluate champion": champion_evaluation,
        "compare": verdict,
    }
    page = report(settings.title, journey, settings.report, home)
    show_outcome(evaluation, latency, verdict, page, home)
    approval = approve(model, verdict, settings)
    promotion = promote(model, verdict, evaluation, champion, manifest, settings.promote, home, approval)
    return Outcome(
        consistency=consistency,
        latency=latency,
        evaluation=evaluation,
        verdict=verdict,
        report=page,
        promotion=promotion,
    )
