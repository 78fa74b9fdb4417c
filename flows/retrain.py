"""The whole journey: sources of speech enter, a model that is proven and promoted leaves, or a clear reason why not.

Read the body aloud. Each line is one stage; a stage runs again only when something that it reads has changed.
"""

from __future__ import annotations

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from data_contracts.retrain import Outcome, RetrainSettings
from tasks.benchmark import benchmark
from tasks.compare import compare
from tasks.evaluate import evaluate
from tasks.features import encoder_features, for_each, language_model_states, speech_targets
from tasks.fit import fit_aligner, fit_codec, shards_of_the_voice, shards_to_fit
from tasks.ingest import ingest
from tasks.plan import announce
from tasks.promote import current_champion, promote
from tasks.quantize import quantize
from tasks.report import report
from tasks.stage import close_tracking
from tasks.train import train_listen, train_speak

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
    home, parts, language = settings.home, settings.components, settings.ingest.language
    announce(settings)

    manifest = ingest(settings.ingest, home)
    questions, answers = manifest.shards("question"), manifest.shards("answer")
    voice = shards_of_the_voice(manifest, home)
    to_fit = shards_to_fit(manifest, parts.codec.fit_minutes, home)

    codec = fit_codec(manifest, [] if parts.codec.weights else to_fit, parts.codec, home)
    aligner = fit_aligner(manifest, to_fit, language, home)

    heard = for_each(questions, encoder_features, manifest, parts.encoder, settings.features, home)
    targets = for_each(voice, speech_targets, manifest, codec, parts.codec, aligner, language, home)
    states = for_each(answers, language_model_states, manifest, parts.language_model, language, home)

    listen = train_listen(manifest, heard, parts.encoder, parts.language_model, settings.train.listen, home)
    speak = train_speak(targets, states, codec, parts.codec, parts.speech_head, language, settings.train.speak, home)
    model = quantize(listen, speak, codec, manifest, parts, settings.quantize, home)

    champion = current_champion(model, settings.promote, home)
    latency = benchmark(model, manifest, settings.benchmark, home, champion)
    evaluation = evaluate(model, manifest, settings.evaluate, home)
    champion_evaluation = evaluate_champion(champion, manifest, settings.evaluate, home) if champion else None
    verdict = compare(evaluation, champion_evaluation, latency, settings.compare, home)

    journey = {
        "ingest": manifest,
        "fit codec": codec,
        "fit aligner": aligner,
        "train listen": listen,
        "train speak": speak,
        "quantize": model,
        "benchmark": latency,
        "evaluate": evaluation,
        "evaluate champion": champion_evaluation,
        "compare": verdict,
    }
    page = report(settings.title, journey, settings.report, home)
    promotion = promote(model, verdict, evaluation, champion, manifest, settings.promote, home)
    return Outcome(latency=latency, evaluation=evaluation, verdict=verdict, report=page, promotion=promotion)
