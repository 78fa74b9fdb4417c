"""What a run made enters, what Prefect's UI shows of it leaves: tables of the verdict and the latency, links, progress.

Showing is a service: a server that does not take an artifact costs a line in the log, never the run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import TaskRunContext
from prefect.logging import get_logger

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from data_contracts.report import Report
from omni_core.paired_scores import Comparison
from omni_core.reasons import plain, signed
from tasks import tracking
from tasks.home import store_of

PAGE = "report.html"
SECONDS_BETWEEN_UPDATES = 2.0


def show_outcome(
    evaluation: EvaluationReport, latency: LatencyReport, verdict: Verdict, page: Report, home: str
) -> None:
    """The verdict's table, the latency's, and where to read on."""
    show_verdict(evaluation, verdict)
    show_latency(latency)
    _tried(_links, page, home)


def show_verdict(evaluation: EvaluationReport, verdict: Verdict) -> None:
    """Decision and reasons above a row a figure."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.facts["reasons"])
    said = f"**{verdict.facts['decision']}**\n\n{reasons}"
    _tried(create_table_artifact, key="verdict", table=verdict_rows(evaluation, verdict), description=said)


def show_latency(latency: LatencyReport) -> None:
    """Time to first audio, real-time factor and memory, and whether the gate was passed."""
    passed = "passed" if latency.facts["passed"] else "; ".join(latency.facts["reasons"])
    said = f"{latency.facts['answers']} answers on {latency.facts['hardware']}; gate: {passed}"
    _tried(create_table_artifact, key="latency", table=latency_rows(latency), description=said)


def verdict_rows(evaluation: EvaluationReport, verdict: Verdict) -> list[dict[str, str]]:
    """A row a figure: both models, the paired gain with its bounds, and the rule; without a champion the interval."""
    comparisons = {name: _comparison(facts) for name, facts in verdict.facts["comparisons"].items()}
    if comparisons:
        return [
            {"figure": c.name, "challenger": plain(c.challenger, c.unit), "champion": plain(c.champion, c.unit),
             "gain": signed(c.gain, c), "bounds": f"{signed(c.lower, c)} to {signed(c.upper, c)}", "turns": str(c.n),
             "rule": verdict.facts["comparisons"][c.name].get("rule", "")}
            for c in comparisons.values()
        ]  # fmt: skip
    intervals = verdict.facts["intervals"]["challenger"]
    rows = []
    for name, figure in evaluation.facts["metrics"].items():
        bounds = [plain(bound, figure["unit"]) for bound in intervals.get(name, ())]
        rows.append({"figure": name, "challenger": plain(figure["value"], figure["unit"]), "bounds": " to ".join(bounds),
                     "turns": str(figure["count"]), "better": figure["better"]})  # fmt: skip
    return rows


def _comparison(facts: dict[str, Any]) -> Comparison:
    """By name: what people heard in a listening test stands among the figures, with fewer facts than the others."""
    return cast(Comparison, SimpleNamespace(**facts))


def latency_rows(latency: LatencyReport) -> list[dict[str, str]]:
    """p50 and p95 of what was timed, and the peak of memory; beside the champion's, when it was timed in the same session."""
    rows = _timed(latency.facts)
    if not (champion := latency.facts.get("champion")):
        return rows
    beside = _timed(champion)
    return [
        row | {f"champion {key}": old[key] for key in ("p50", "p95")} for row, old in zip(rows, beside, strict=True)
    ]


def _timed(facts: dict[str, Any]) -> list[dict[str, str]]:
    first, factor, memory = facts["time_to_first_audio_ms"], facts["real_time_factor"], facts.get("peak_memory_mb")
    return [
        {"figure": "time to first audio", "p50": f"{first['p50']:.0f} ms", "p95": f"{first['p95']:.0f} ms"},
        {"figure": "real-time factor", "p50": f"{factor['p50']:.2f}", "p95": f"{factor['p95']:.2f}"},
        {"figure": "peak memory", "p50": f"{memory:.0f} MB" if memory else "", "p95": ""},
    ]


def _links(page: Report, home: str) -> None:
    """Links for a browser when MLflow is a server; the address of the page's file otherwise, as no browser follows that."""
    path = store_of(home).folder(page) / PAGE
    run = tracking.page_of(home, "report", page)
    if run is None:
        create_markdown_artifact(key="report", markdown=f"The report is the file `{path}`.", description="the report")
        return
    for key, link, text in (
        ("report", f"{run}/artifacts/report/{PAGE}", "the report: verdict, tables, plots, players"),
        ("mlflow-run", run, "the MLflow run: settings, curves, lineage"),
    ):
        create_link_artifact(key=key, link=link, link_text=text, description=text)


class ProgressArtifact:
    """Progress of one task as an artifact of its task run; calls within two seconds of the last are passed over."""

    def __init__(self, stage: str, task: str):
        self.key = "progress-" + re.sub(r"[^a-z0-9]+", "-", task.lower())  # `report` is the link to the page
        self.stage, self.last, self.percent = stage, -float("inf"), -1.0
        self.artifact: UUID | None = None
        self.broken = False

    def __call__(self, done: int, total: int, what: str) -> None:
        now, percent = time.monotonic(), 100.0 * min(done, total) / max(total, 1)
        if self.broken or now - self.last < SECONDS_BETWEEN_UPDATES:
            return
        self.last = now
        self.broken = not _tried(self._show, percent, f"{self.stage}: {what} {done}/{total}")

    def _show(self, percent: float, said: str) -> None:
        if self.artifact is None:
            self.artifact = create_progress_artifact(percent, key=self.key, description=said)
        else:
            update_progress_artifact(self.artifact, percent, said)

    def close(self) -> None:
        """The work has ended; one that was too short for an artifact gets none."""
        if self.artifact is not None and not self.broken:
            _tried(self._show, 100.0, f"{self.stage}: done")


def progress_artifact(stage: str) -> ProgressArtifact | None:
    """One for the task run around this call; None outside of one."""
    context = TaskRunContext.get()
    return ProgressArtifact(stage, context.task.name) if context else None


def _tried(show: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """False, and a line in the log, when the server did not take it."""
    try:
        show(*args, **kwargs)
        return True
    except Exception as error:  # of any kind: nothing that is only looked at may stop a training
        get_logger("omnirefit").warning("Prefect's UI was not told: %s", " ".join(str(error).split()))
        return False
