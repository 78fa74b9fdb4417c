"""The whole journey: sources of speech enter, a model that is proven and promoted leaves, or a clear reason why not.

Read the body aloud. Each line is one stage; a stage runs again only when something that it reads has changed.
"""

from __future__ import annotations

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from data_contracts.retrain import Outcome, RetrainSettings
from flows.training import train
from tasks.benchmark import benchmark
from tasks.compare import compare
from tasks.evaluate import evaluate
from tasks.features import encoder_features, for_each
from tasks.fit import fit_codec, shards_to_fit
from tasks.ingest import ingest
from tasks.plan import announce
from tasks.promote import current_champion, promote
from tasks.quantize import quantize
from tasks.report import report
from tasks.stage import close_tracking

one_stage_at_a_time = ThreadPoolTaskRunner(max_workers=1)  # each of them takes every core
evaluate_champion = evaluate.with_options(name="evaluate champion")


@flow(
    task_runner=one_stage_at_a_time,
    persist_result=False,
    flow_run_name="{settings.title}",
    on_completion=[close_tracking],
    on_failure=[close_tracking],
    on_crashed=[close_tracking],
)
def retrain(settings: RetrainSettings) -> Outcome:
    """Fit the speech parts to the components that the settings name, prove the result, and promote it if it won."""
    home, parts = settings.home, settings.components
    plan = announce(settings)

    manifest = ingest(settings.ingest, home)
    to_fit = shards_to_fit(manifest, parts.codec.fit_minutes, home)
    codec = fit_codec(manifest, [] if parts.codec.weights else to_fit, parts.codec, home)
    heard = for_each(manifest.shards("question"), encoder_features, manifest, parts.encoder, settings.features, home)
    trained = train(manifest, heard, codec, settings, plan.starts)  # the stages of the speech head: flows/training.py
    model = quantize(trained.checkpoints, codec, manifest, parts, settings.quantize, home)

    latency = benchmark(model, manifest, settings.benchmark, home)
    evaluation = evaluate(model, manifest, settings.evaluate, home)
    champion = current_champion(model, settings.promote, home)
    champion_evaluation = evaluate_champion(champion, manifest, settings.evaluate, home) if champion else None
    verdict = compare(evaluation, champion_evaluation, latency, settings.compare, home)

    journey = {
        "ingest": manifest,
        "fit codec": codec,
        **trained.journey,
        "quantize": model,
        "benchmark": latency,
        "evaluate": evaluation,
        "evaluate champion": champion_evaluation,
        "compare": verdict,
    }
    page = report(settings.title, journey, home)
    promotion = promote(model, verdict, evaluation, champion, manifest, settings.promote, home)
    return Outcome(latency=latency, evaluation=evaluation, verdict=verdict, report=page, promotion=promotion)
