"""An Outcome and the journal of its stages enter, what a person reads at the end leaves."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from data_contracts.retrain import Outcome
    from omni_core.promotion_history import Standing
    from tasks.stage import StageRun


@dataclass(frozen=True)
class Journey:
    """One finished run of the flow."""

    title: str
    outcome: Outcome
    stages: list[StageRun]
    seconds: float
    page: Path


# What the project set out to reach (README); the name of a metric -> (bound, what it says). Lower bounds are negative.
TARGETS = {
    "own_speech_wer": (0.10, "<= 0.10"),
    "answer_accuracy": (-0.80, ">= 0.80"),
    "codec_loss_wer": (0.02, "<= 0.02"),
    "distill_mos_gap": (0.7, "<= 0.7"),
    "time_to_first_audio_p95_ms": (1500.0, "<= 1500"),
    "real_time_factor_p50": (1.0, "< 1"),
}


def show(console: Console, journey: Journey) -> None:
    """Stages with times, the verdict, and where to look and listen."""
    console.print(stage_table(journey))
    verdict, promotion = journey.outcome.verdict.facts, journey.outcome.promotion.facts
    console.print(f"[bold]{verdict['decision']}[/bold]")
    for reason in verdict["reasons"]:
        console.print(f"  {reason}", highlight=False)
    where = f"{promotion['registered_model']}@{promotion['alias']}"
    console.print(f"champion: {where} is version {promotion['version'] or 'none'}", highlight=False)
    console.print(f"report: {journey.page}", highlight=False, soft_wrap=True)
    console.print(f"listen: {journey.page.parent / 'clips'}", highlight=False, soft_wrap=True)


def stage_table(journey: Journey) -> Table:
    """One row a stage; mapped stages are one row with their number."""
    table = Table("stage", "tasks", "seconds", "from cache", title=f"{journey.title}: {journey.seconds:.0f} s")
    for name, group in groupby(journey.stages, key=lambda stage: stage.name):
        runs = list(group)
        cached, took = sum(run.was_cached for run in runs), sum(run.seconds for run in runs)
        table.add_row(name, str(len(runs)), f"{took:.1f}", f"{cached} of {len(runs)}" if cached else "")
    return table


def scores(outcome: Outcome) -> dict[str, tuple[float, str]]:
    """Name -> (value, unit) of the evaluation and the latency, and what the codec loses."""
    metrics, latency = outcome.evaluation.facts["metrics"], outcome.latency.facts
    found = {name: (metric["value"], metric["unit"]) for name, metric in metrics.items()}
    if {"codec_wer", "teacher_wer"} <= metrics.keys():
        found["codec_loss_wer"] = (metrics["codec_wer"]["value"] - metrics["teacher_wer"]["value"], "fraction")
    found["time_to_first_audio_p95_ms"] = (latency["time_to_first_audio_ms"]["p95"], "ms")
    found["real_time_factor_p50"] = (latency["real_time_factor"]["p50"], "of real time")
    return found


def score_table(journeys: list[Journey]) -> Table:
    """A row a score, a column a run; a score with a target says whether it was reached."""
    table = Table("score", "unit", "target", *[journey.title for journey in journeys])
    columns = [scores(journey.outcome) for journey in journeys]
    for name, (_, unit) in columns[-1].items():
        cells = [_cell(name, column[name][0]) if name in column else "" for column in columns]
        table.add_row(name, unit, TARGETS.get(name, (0.0, ""))[1], *cells)
    table.add_row("seconds, whole run", "s", "", *[f"{journey.seconds:.0f}" for journey in journeys])
    table.add_row("consistency", "", "passed", *[_consistency(journey.outcome) for journey in journeys])
    table.add_row("verdict", "", "", *[journey.outcome.verdict.facts["decision"] for journey in journeys])
    return table


def _consistency(outcome: Outcome) -> str:
    failed = [check["check"] for check in outcome.consistency.facts["checks"] if not check["passed"]]
    return f"[red]not so: {', '.join(failed)}[/red]" if failed else "[green]passed[/green]"


def _cell(name: str, value: float) -> str:
    if name not in TARGETS:
        return f"{value:.3g}"
    bound = TARGETS[name][0]
    reached = value <= bound if bound > 0 else value >= -bound
    return f"[green]{value:.3g}[/green]" if reached else f"[red]{value:.3g} missed[/red]"


def publish(store_folder_of_report: Path, clips: Path, home: Path, title: str) -> Path:
    """Copy the page and the clips to <home>/reports/<title>/, where a person finds them; returns the page."""
    target = home / "reports" / (re.sub(r"[^\w.-]+", "-", title).strip("-.") or "run")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(store_folder_of_report, target, ignore=shutil.ignore_patterns("card.json"))
    if clips.is_dir():
        shutil.copytree(clips, target / "clips", dirs_exist_ok=True)
    return target / "report.html"


def show_history(console: Console, standing: Standing, home: Path) -> None:
    """Every promotion and rollback, the last line below; looks at the sealed sets; then what does not fit, if anything."""
    from omni_core.promotion_history import trouble
    from omni_core.sealed_looks import told

    table = Table(title=standing.name)
    for name, wraps in (("line", False), ("at (UTC)", False), ("champion", False), ("model", False), ("why", True)):
        table.add_column(name, no_wrap=not wraps)
    for entry in standing.history:
        champion = f"{entry.was or 'none'} -> {entry.version or 'none'}"
        why = f"{entry.action} by {entry.by}: {entry.reason}"
        table.add_row(str(entry.number), f"{entry.at:%Y-%m-%d %H:%M}", champion, entry.model[:8], why)
    console.print(table)
    console.print(f"{standing.alias}: version {standing.aliases.get(standing.alias, 'none')}", highlight=False)
    if not standing.is_settled and standing.last:
        console.print(
            f"line {standing.last.number} is not settled: the next command moves its aliases", highlight=False
        )
    for line in told(home):
        console.print(line, highlight=False, soft_wrap=True)
    if sentence := trouble(standing):
        console.print(f"[red]{sentence}[/red]", highlight=False, soft_wrap=True)


def show_ui_commands(console: Console, home: Path) -> None:
    """How to open MLflow and Prefect: lines that work when they are pasted into any shell."""
    from tasks.tracking import tracking_uri

    omni, mlflow, prefect = (quote(str(Path(sys.executable).parent / name)) for name in ("omni", "mlflow", "prefect"))
    database, prefect_home = quote(tracking_uri(str(home))), quote(str(home / "prefect"))
    console.print(
        f"look at the runs (`{omni} up` starts both, and what runs the flow every night):",
        highlight=False,
        soft_wrap=True,
    )
    for command in (
        f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false {mlflow} server --backend-store-uri {database} --port 5000",
        f"PREFECT_HOME={prefect_home} {prefect} server start",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
