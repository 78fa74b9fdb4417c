"""A model of the registry enters, its latency on this machine, measured anew, leaves."""

from __future__ import annotations

from prefect import flow

from data_contracts.benchmark import LatencyReport
from data_contracts.every_day import BenchmarkRunSettings
from tasks.benchmark import benchmark as measure
from tasks.stage import close_tracking
from tasks.ui_artifacts import show_latency
from tasks.which import known

measure_again = measure.with_options(refresh_cache=True)


@flow(
    name="benchmark",
    persist_result=False,
    flow_run_name="{settings.model}",
    on_completion=[close_tracking],
    on_failure=[close_tracking],
    on_crashed=[close_tracking],
)
def benchmark(settings: BenchmarkRunSettings) -> LatencyReport:
    """How fast does it answer today?"""
    found = known(settings.model, settings.promote, settings.home)
    latency = measure_again(
        model=found.model, champion=None, manifest=found.manifest, settings=settings.benchmark, home=settings.home
    )
    show_latency(latency)
    return latency
