"""Everything that the journey made enters, one HTML page leaves: the verdict and why, to read, to hear and to look at.

The page holds all it shows (pictures, sound, style) and fetches nothing: it can be sent by mail, read on a phone and printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.base import Artifact
from data_contracts.benchmark import CHALLENGER, CHAMPION, PER_ANSWER
from data_contracts.errors import ArtifactError
from data_contracts.plan import Plan
from data_contracts.quantize import QuantizedModel
from data_contracts.report import ReportSettings
from omni_core import report_plots as plots
from omni_core import report_tables as tables
from omni_core.report_clips import Side, cards, first_rows, worst_rows
from omni_core.report_lineage import changes, lineage, set_aside, settings_rows, stage_seconds, weights_used
from omni_core.store import ArtifactStore

TEMPLATE = Path(__file__).with_suffix(".html.jinja")
PAGE = "report.html"
ROLES = {"verdict": "compare", "challenger": "evaluate", "champion": "evaluate champion", "latency": "benchmark",
         "consistency": "check consistency"}  # fmt: skip
"""What the page is about -> the journey's name for it."""


@dataclass(frozen=True)
class Run:
    """What is known of a run beside its artifacts."""

    title: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Stage -> time, of those that were computed; none: what the cards say."""
    kept: Sequence[str] = ()
    """Stages that were found done."""
    plan: Plan | None = None
    """What was planned before it began."""


def write_report(
    store: ArtifactStore, folder: Path, run: Run, journey: Mapping[str, Artifact | None], settings: ReportSettings
) -> Path:
    """Write folder/report.html and return its path.

    `journey` is stage -> what it made ("compare", "evaluate" and "benchmark" at least; "evaluate champion" when there
    is one; checkpoints bring their curves). Raises ArtifactError when an artifact is missing.
    """
    import jinja2

    made = {role: artifact for role, artifact in journey.items() if artifact is not None}
    missing = [ROLES[role] for role in ("verdict", "challenger", "latency") if ROLES[role] not in made]
    if missing:
        raise ArtifactError(
            f"a report needs what these stages made: {', '.join(missing)}; hand them in with the journey"
        )
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": tables.show, "cell": tables.cell, "duration": tables.duration}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=run.title, plan=run.plan, **contents(store, made, run, settings)
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def contents(store: ArtifactStore, made: Mapping[str, Artifact], run: Run, settings: ReportSettings) -> dict[str, Any]:
    """All that the template shows, by name."""
    verdict, latency = made[ROLES["verdict"]], made[ROLES["latency"]]
    challenger = _side(store, made[ROLES["challenger"]])
    champion = _side(store, made[ROLES["champion"]]) if ROLES["champion"] in made else None
    metrics, old = challenger.report.facts["metrics"], champion.report.facts["metrics"] if champion else {}
    worst = worst_rows(challenger, settings.worst)
    usual = first_rows(challenger, settings.clips, worst)
    return {
        "verdict": verdict.facts, "headline": tables.headline(metrics, latency.facts, old),
        "changes": changes(_model(store, challenger), _model(store, champion) if champion else None),
        "metrics": tables.metric_rows(verdict, metrics, old), "gain_plot": _gain_plot(verdict),
        "slices": tables.slice_tables(_slices(challenger), _slices(champion) if champion else []),
        "worst": cards(worst, challenger, champion, pictures=False), "wrong": len(worst_rows(challenger, len(challenger.rows))),
        "listen": cards(usual, challenger, champion, pictures=True),
        "latency": tables.latency_rows(latency), "latency_plots": latency_plots(store, latency),
        "curves": curve_plots(store, made), "lineage": lineage(made), "weights": weights_used(made),
        "set_aside": set_aside(made),
        "cost": tables.cost_of(run.seconds or stage_seconds(made), run.kept, run.plan, settings),
        "settings": settings_rows(made), "evaluation": challenger.report.facts,
        "consistency": made[ROLES["consistency"]].facts["checks"] if ROLES["consistency"] in made else [],
        "has_champion": champion is not None, "hardware": latency.facts.get("hardware", ""),
    }  # fmt: skip


def _side(store: ArtifactStore, report: Artifact) -> Side:
    folder = store.folder(report)
    rows = pq.read_table(folder / "per_utterance.parquet").to_pylist()
    return Side(report, {row["turn_id"]: row for row in rows}, folder)


def _slices(side: Side) -> list[dict[str, Any]]:
    return pq.read_table(side.folder / "slices.parquet").to_pylist()


def _model(store: ArtifactStore, side: Side) -> QuantizedModel | None:
    """The model that was evaluated; None when the store has lost it (the page then says nothing about changes)."""
    try:
        return store.load(QuantizedModel, side.report.inputs["model"])
    except (ArtifactError, KeyError):
        return None


def _gain_plot(verdict: Artifact) -> str:
    rows = [
        (name.replace("_", " "), c["gain"], c["lower"], c["upper"], c["margin"])
        for name, c in verdict.facts["comparisons"].items()
        if c["margin"]
    ]
    return plots.gain_plot(rows) if rows else ""


def pictures(store: ArtifactStore, made: Mapping[str, Artifact]) -> dict[str, str]:
    """File name -> SVG of every plot of latency and training, for who looks at them outside of the page."""
    plots = {f"latency {name}": plot for name, plot in latency_plots(store, made[ROLES["latency"]]).items()}
    for stage, curve in curve_plots(store, made).items():
        plots |= {f"{stage} {name}": plot for name, plot in curve["pictures"].items()}
    return {f"{name.replace(' ', '_')}.svg": plot for name, plot in plots.items()}


def latency_plots(store: ArtifactStore, latency: Artifact) -> dict[str, str]:
    """Time to first audio and real-time factor of every whole answer that was timed, the champion's beside."""
    table = pq.read_table(store.folder(latency) / PER_ANSWER).to_pylist()
    sides = {who: [row for row in table if row["who"] == who and row["audio_s"]] for who in (CHALLENGER, CHAMPION)}
    if not sides[CHALLENGER]:
        return {}
    gates = latency.settings
    first = {who: [1000 * row["time_to_first_audio_s"] for row in rows] for who, rows in sides.items()}
    factor = {who: [row["total_s"] / row["audio_s"] for row in rows] for who, rows in sides.items()}
    return {
        "time to first audio": plots.latency_plot("time to first audio, ms", first[CHALLENGER],
                                                  gates["max_time_to_first_audio_p95_ms"], "p95", first[CHAMPION]),
        "real-time factor": plots.latency_plot("real-time factor", factor[CHALLENGER], gates["max_real_time_factor"], "p50",
                                               factor[CHAMPION]),
    }  # fmt: skip


def curve_plots(store: ArtifactStore, made: Mapping[str, Artifact]) -> dict[str, dict[str, Any]]:
    """Stage -> a picture for each named value of its curve.parquet; of a value noted once or twice, the last."""
    found: dict[str, dict[str, Any]] = {}
    for stage, artifact in made.items():
        if "curve.parquet" not in artifact.files:
            continue
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in pq.read_table(store.folder(artifact) / "curve.parquet").to_pylist():
            curves.setdefault(row["name"], []).append((row["step"], row["value"]))
        long = {name: points for name, points in curves.items() if len(points) > 2}
        found[stage] = {
            "pictures": {name: plots.loss_curve(name, points) for name, points in long.items()},
            "ends": {name: points[-1][1] for name, points in curves.items() if name not in long},
        }
    return found
