"""Two evaluated models enter, a Verdict leaves: the same rule as in retrain, and nothing is promoted."""

from __future__ import annotations

from prefect import flow

from data_contracts.compare import Verdict
from data_contracts.every_day import CompareRunSettings
from tasks.benchmark import benchmark
from tasks.compare import compare as compare_evaluations
from tasks.stage import close_tracking
from tasks.ui_artifacts import show_latency, show_verdict
from tasks.which import known


@flow(
    name="compare",
    persist_result=False,
    flow_run_name="{settings.challenger} against {settings.champion}",
    on_completion=[close_tracking],
    on_failure=[close_tracking],
    on_crashed=[close_tracking],
)
def compare(settings: CompareRunSettings) -> Verdict:
    """Is the challenger better than the champion, and no worse in anything that is guarded? The two are timed in turn."""
    challenger = known(settings.challenger, settings.promote, settings.home)
    champion = known(settings.champion, settings.promote, settings.home)
    latency = benchmark(challenger.model, challenger.manifest, settings.benchmark, settings.home, champion.model)
    verdict = compare_evaluations(
        challenger.evaluation, champion.evaluation, latency, challenger.consistency, settings.compare, settings.home
    )
    show_verdict(challenger.evaluation, verdict)
    show_latency(latency)
    return verdict
