"""An Outcome and the journal of its stages enter, what a person reads at the end leaves."""

from __future__ import annotations

import re
import shutil
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from data_contracts.retrain import Outcome
    from tasks.stage import StageRun


def show(console: Console, title: str, outcome: Outcome, stages: list[StageRun], seconds: float, page: Path) -> None:
    """Stages with times, metrics, the verdict, and where to look and listen."""
    console.print(stage_table(title, stages, seconds))
    console.print(metric_table(outcome))
    verdict = outcome.verdict.facts
    console.print(f"[bold]{verdict['decision']}[/bold]: {'; '.join(verdict['reasons'])}", highlight=False)
    promotion = outcome.promotion.facts
    console.print(
        f"registered model {promotion['registered_model']}, alias {promotion['alias']}: "
        f"version {promotion['version'] or 'none'} ({promotion['reason']})",
        highlight=False,
    )
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    console.print(f"listen: {page.parent / 'clips'}", highlight=False, soft_wrap=True)


def stage_table(title: str, stages: list[StageRun], seconds: float) -> Table:
    """One row a stage; mapped stages are one row with their number."""
    table = Table("stage", "tasks", "seconds", "from cache", title=f"{title}: {seconds:.0f} s")
    for name, group in groupby(stages, key=lambda stage: stage.name):
        runs = list(group)
        cached = sum(run.was_cached for run in runs)
        took = sum(run.seconds for run in runs)
        table.add_row(name, str(len(runs)), f"{took:.1f}", f"{cached} of {len(runs)}" if cached else "")
    return table


def metric_table(outcome: Outcome) -> Table:
    """Every score with its unit and better direction, and the latency."""
    table = Table("metric", "value", "unit", "better", "count")
    for name, metric in outcome.evaluation.facts["metrics"].items():
        table.add_row(name, f"{metric['value']:.3g}", metric["unit"], metric["better"], str(metric["count"]))
    facts = outcome.latency.facts
    for name, unit in (("time_to_first_audio_ms", "ms"), ("real_time_factor", "")):
        value = f"{facts[name]['p50']:.3g} / {facts[name]['p95']:.3g}"
        table.add_row(f"{name} p50 / p95", value, unit, "lower", str(facts["answers"]))
    return table


def publish(store_folder_of_report: Path, clips: Path, home: Path, title: str) -> Path:
    """Copy the page and the clips to <home>/reports/<title>/, where a person finds them; returns the page."""
    target = home / "reports" / (re.sub(r"[^\w.-]+", "-", title).strip("-.") or "run")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(store_folder_of_report, target, ignore=shutil.ignore_patterns("card.json"))
    if clips.is_dir():
        shutil.copytree(clips, target / "clips", dirs_exist_ok=True)
    return target / "report.html"


def show_ui_commands(console: Console, home: Path) -> None:
    """How to open MLflow and Prefect."""
    from tasks.tracking import tracking_uri

    console.print("look at the runs:", highlight=False)
    for command in (
        f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --backend-store-uri {tracking_uri(str(home))} --port 5000",
        f"PREFECT_HOME={home / 'prefect'} prefect server start",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
