"""Artifacts' cards and rows enter, the report's tables leave: figures with their bars, slices, latency, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.base import Artifact
from data_contracts.benchmark import CHAMPION
from data_contracts.compare import LISTENERS
from data_contracts.plan import Plan
from data_contracts.report import ReportSettings
from omni_core.absolute_gates import GATES
from omni_core.paired_scores import MARGINS
from omni_core.scores import FIRST_AUDIO

HEADLINE = {"own_speech_wer": "own-speech WER", "answer_accuracy": "right answers", "distill_mos": "DistillMOS"}
BESIDE = {
    FIRST_AUDIO: "of the benchmark's questions, each the median of its rounds, asked in turn with the champion",
    LISTENERS: "share of the listeners' answers that prefer it; turns are answers",
}
"""Figures of the comparison that no metric measures."""
SLICED = ("answer_accuracy", "own_speech_wer", "question_wer", "distill_mos")
"""Figures of the table of slices, as far as they were measured."""
Facts = Mapping[str, Any]


def show(value: float | None, unit: str = "") -> str:
    """A number as the page writes it: fractions as percent, MOS with two digits, else three significant ones."""
    if value is None:
        return ""
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "ms":
        return f"{value:,.0f} ms"
    return f"{value:.2f}" if unit == "MOS" else f"{value:,.4g}" if abs(value) >= 1000 else f"{value:,.3g}"


def cell(value: Any) -> str:
    """Any value as a table's cell."""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def headline(metrics: Facts, latency: Facts, old: Facts) -> list[dict[str, str]]:
    """The figures above all others: name, value, and the champion's where there is one."""
    beside = latency.get(CHAMPION, {})
    found = [
        {"name": label, "value": show(metrics[name]["value"], metrics[name]["unit"]),
         "champion": show(old[name]["value"], old[name]["unit"]) if name in old else ""}
        for name, label in HEADLINE.items() if name in metrics
    ]  # fmt: skip
    for name, key, which, unit in (("first audio, p95", "time_to_first_audio_ms", "p95", " ms"),
                                   ("real-time factor, p50", "real_time_factor", "p50", "")):  # fmt: skip
        old_value = show(beside[key][which]) + unit if key in beside else ""
        found.append({"name": name, "value": show(latency[key][which]) + unit, "champion": old_value})
    return found


def metric_rows(verdict: Artifact, metrics: Facts, old: Facts) -> list[dict[str, Any]]:
    """A row a figure: both models with intervals, the paired gain, and the bar that it has to take; guards first."""
    intervals, comparisons = verdict.facts["intervals"], verdict.facts["comparisons"]
    rows = []
    for name, figure in metrics.items():
        rows.append({
            "name": name, **{key: figure[key] for key in ("unit", "better", "meaning", "value", "count")},
            "interval": intervals["challenger"].get(name), "champion": old.get(name, {}).get("value"),
            "champion_interval": intervals.get("champion", {}).get(name), "gain": comparisons.get(name),
            "bar": bar_of(name, verdict, bool(old)),
        })  # fmt: skip
    for name, gain in comparisons.items():
        if name not in metrics:
            rows.append({
                "name": name, "meaning": BESIDE.get(name, ""), **{key: gain[key] for key in ("unit", "better", "champion")},
                "value": gain["challenger"], "count": gain["n"], "interval": None, "champion_interval": None, "gain": gain,
                "bar": bar_of(name, verdict, bool(old)),
            })  # fmt: skip
    return sorted(rows, key=lambda row: not row["bar"])


def bar_of(name: str, verdict: Artifact, has_champion: bool) -> str:
    """What a figure has to reach, in words; empty for one that is only shown."""
    margins = MARGINS | {LISTENERS: "listening_margin"}
    if name not in (margins if has_champion else GATES) or name in verdict.facts["unguarded"]:
        return ""
    unit = {"distill_mos": "MOS", "speaker_similarity": "cosine"}.get(name, "fraction")
    if has_champion:
        loss = show(verdict.settings[margins[name]], unit)
        return f"loses at most {loss if name == FIRST_AUDIO else loss.replace('%', 'points')}"
    limit = GATES[name]
    return f"at {'most' if limit.startswith('max') else 'least'} {show(verdict.settings['gates'][limit], unit)}"


def latency_rows(latency: Artifact) -> list[dict[str, Any]]:
    """Time to first audio, real-time factor and memory, with their gates, and the champion's timed beside."""
    facts, gates, old = latency.facts, latency.settings, latency.facts.get(CHAMPION, {})
    rows = [
        {"name": name, "unit": unit, "bar": bar, **facts[name], "champion": old.get(name)}
        for name, unit, bar in (
            ("time_to_first_audio_ms", "ms", f"p95 at most {gates['max_time_to_first_audio_p95_ms']:,.0f} ms"),
            ("real_time_factor", "", f"p50 at most {gates['max_real_time_factor']:g}"),
        )
    ]  # fmt: skip
    memory = {"p50": old["peak_memory_mb"], "p95": None} if "peak_memory_mb" in old else None
    return [*rows, {"name": "peak_memory_mb", "unit": "MB", "p50": facts["peak_memory_mb"], "p95": None, "bar": "",
                    "champion": memory}]  # fmt: skip


def slice_tables(rows: Sequence[Facts], old: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """Dimension -> its figures and a row a slice: name, turns, and for each figure value and the champion's.

    A dimension with a single slice says nothing that the metrics do not, and is left out.
    """
    theirs = {(row["dimension"], row["slice"], row["figure"]): row["value"] for row in old}
    tables: dict[str, dict[str, Any]] = {}
    for dimension in dict.fromkeys(row["dimension"] for row in rows):
        mine = [row for row in rows if row["dimension"] == dimension]
        figures = {row["figure"]: row["unit"] for name in SLICED for row in mine if row["figure"] == name}
        names = list(dict.fromkeys(row["slice"] for row in mine))
        if len(names) > 1:
            value = {(row["slice"], row["figure"]): row for row in mine}
            tables[dimension] = {"figures": figures, "rows": [
                {"slice": name, "turns": max(row["count"] for row in mine if row["slice"] == name),
                 "cells": [(value.get((name, figure), {}).get("value"), theirs.get((dimension, name, figure)), unit, figure)
                           for figure, unit in figures.items()]}
                for name in names
            ]}  # fmt: skip
    return tables


def cost_of(
    seconds: Mapping[str, float], kept: Sequence[str], plan: Plan | None, settings: ReportSettings
) -> dict[str, Any]:
    """Rows of stages with seconds, share of the longest, estimate and money; total; and what was kept from before."""
    estimated = {estimate.stage: estimate.seconds for estimate in plan.estimates} if plan else {}
    longest, total = max(seconds.values(), default=0.0), sum(seconds.values())
    rows = [
        {"stage": stage, "seconds": value, "share": value / longest if longest else 0.0, "estimate": estimated.get(stage),
         "money": money(value, settings)}
        for stage, value in seconds.items()
    ]  # fmt: skip
    return {"rows": rows, "total": total, "money": money(total, settings), "kept": [k for k in kept if k not in seconds],
            "has_estimates": any(row["estimate"] is not None for row in rows),
            "price": f"{settings.price_per_hour:g} {settings.currency}" if settings.price_per_hour else ""}  # fmt: skip


def money(seconds: float, settings: ReportSettings) -> str:
    """What so many seconds cost; empty without a price."""
    if not settings.price_per_hour:
        return ""
    return f"{seconds / 3600 * settings.price_per_hour:.3f} {settings.currency}"
