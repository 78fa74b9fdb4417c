"""Everything that the journey made enters, one HTML page leaves: the verdict and why, to read, to hear and to look at.

The page holds all it shows (pictures, sound, style) and fetches nothing: it can be sent by mail and read on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_contracts.base import Artifact
from data_contracts.benchmark import CHALLENGER, PER_ANSWER
from data_contracts.errors import ArtifactError
from data_contracts.quantize import QuantizedModel
from omni_core import report_plots as plots
from omni_core.audio import decode
from omni_core.paired_scores import MARGINS
from omni_core.report_lineage import changes, lineage, settings_rows, stage_seconds, weights_used
from omni_core.store import ArtifactStore

TEMPLATE = Path(__file__).with_suffix(".html.jinja")
PAGE = "report.html"
WORST = 10
SPECTROGRAMS = 4
ROLES = {"verdict": "compare", "challenger": "evaluate", "champion": "evaluate champion", "latency": "benchmark",
         "consistency": "check consistency"}  # fmt: skip
"""What the page is about -> the journey's name for it."""


@dataclass(frozen=True)
class Side:
    """One evaluated model: its card, its rows by turn_id, and its folder."""

    report: Artifact
    rows: dict[str, dict[str, Any]]
    folder: Path

    def clip(self, row: Mapping[str, Any], what: str) -> Path | None:
        """The sound of a turn, when it was kept."""
        path = self.folder / "clips" / f"{row['clip']}-{what}.ogg"
        return path if row["clip"] and path.is_file() else None


def write_report(
    store: ArtifactStore,
    folder: Path,
    *,
    title: str,
    journey: Mapping[str, Artifact | None],
    seconds: Mapping[str, float] | None = None,
    plan: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write folder/report.html and return its path.

    `journey` is stage -> what it made ("compare", "evaluate" and "benchmark" at least; "evaluate champion" when there
    is one; checkpoints bring their curves). `seconds` is stage -> time, else what the cards say; `plan` is rows of the
    retrain plan, any columns. Raises ArtifactError when an artifact is missing.
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
    environment.filters |= {"figure": show, "cell": cell}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title, plan=list(plan), **contents(store, made, seconds or stage_seconds(made))
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def contents(store: ArtifactStore, made: Mapping[str, Artifact], seconds: Mapping[str, float]) -> dict[str, Any]:
    """All that the template shows, by name."""
    verdict, latency = made[ROLES["verdict"]], made[ROLES["latency"]]
    challenger = _side(store, made[ROLES["challenger"]])
    champion = _side(store, made[ROLES["champion"]]) if ROLES["champion"] in made else None
    return {
        "verdict": verdict.facts, "settings": settings_rows(made), "seconds": dict(seconds),
        "metrics": metric_rows(verdict, challenger, champion), "latency": latency_rows(latency),
        "gain_plot": _gain_plot(verdict), "latency_plots": latency_plots(store, latency),
        "curves": curve_plots(store, made), "topics": topic_rows(challenger),
        "listen": listening(challenger, champion), "worst": worst_rows(challenger),
        "changes": changes(_model(store, challenger), _model(store, champion) if champion else None),
        "lineage": lineage(made), "weights": weights_used(made), "turns": challenger.report.facts["turns"],
        "speakers": challenger.report.facts["speakers"], "judge": challenger.report.facts["judge"],
        "consistency": made[ROLES["consistency"]].facts["checks"] if ROLES["consistency"] in made else [],
        "has_champion": champion is not None, "hardware": latency.facts.get("hardware", ""),
    }  # fmt: skip


def _side(store: ArtifactStore, report: Artifact) -> Side:
    folder = store.folder(report)
    rows = pq.read_table(folder / "per_utterance.parquet").to_pylist()
    return Side(report, {row["turn_id"]: row for row in rows}, folder)


def _model(store: ArtifactStore, side: Side) -> QuantizedModel | None:
    """The model that was evaluated; None when the store has lost it (the page then says nothing about changes)."""
    try:
        return store.load(QuantizedModel, side.report.inputs["model"])
    except (ArtifactError, KeyError):
        return None


# ---------------------------------------------------------------- tables


def show(value: float | None, unit: str = "") -> str:
    """A number as the page writes it: fractions as percent, MOS with two digits, else three significant ones."""
    if value is None:
        return ""
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if unit == "MOS" else f"{value:,.3g}"


def cell(value: Any) -> str:
    """Any value as a table's cell."""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def metric_rows(verdict: Artifact, challenger: Side, champion: Side | None) -> list[dict[str, Any]]:
    """A row a figure: both models with intervals, the paired gain, and the bar that it has to take."""
    intervals, comparisons = verdict.facts["intervals"], verdict.facts["comparisons"]
    old = champion.report.facts["metrics"] if champion else {}
    rows = []
    for name, figure in challenger.report.facts["metrics"].items():
        rows.append({
            "name": name, **{key: figure[key] for key in ("unit", "better", "meaning", "value", "count")},
            "interval": intervals["challenger"].get(name), "champion": old.get(name, {}).get("value"),
            "champion_interval": intervals.get("champion", {}).get(name), "gain": comparisons.get(name),
            "bar": bar_of(name, verdict, champion is not None),
        })  # fmt: skip
    return sorted(rows, key=lambda row: not row["bar"])


def bar_of(name: str, verdict: Artifact, has_champion: bool) -> str:
    """What a figure has to reach, in words; empty for one that is only shown."""
    gates = {
        "own_speech_wer": "max_own_speech_wer",
        "answer_accuracy": "min_answer_accuracy",
        "distill_mos": "min_distill_mos",
    }
    if name not in (MARGINS if has_champion else gates):
        return ""
    unit = {"distill_mos": "MOS", "speaker_similarity": "cosine"}.get(name, "fraction")
    if has_champion:
        return f"loses at most {show(verdict.settings[MARGINS[name]], unit).replace('%', 'points')}"
    limit = gates[name]
    return f"at {'most' if limit.startswith('max') else 'least'} {show(verdict.settings['gates'][limit], unit)}"


def latency_rows(latency: Artifact) -> list[dict[str, Any]]:
    """Time to first audio, real-time factor and memory, with their gates."""
    facts, gates = latency.facts, latency.settings
    rows = [
        {"name": name, "unit": unit, "p50": facts[name]["p50"], "p95": facts[name]["p95"], "bar": bar}
        for name, unit, bar in (
            ("time_to_first_audio_ms", "ms", f"p95 at most {gates['max_time_to_first_audio_p95_ms']:,.0f}"),
            ("real_time_factor", "", f"p50 at most {gates['max_real_time_factor']:g}"),
        )
    ]  # fmt: skip
    return [*rows, {"name": "peak_memory_mb", "unit": "MB", "p50": facts["peak_memory_mb"], "p95": None, "bar": ""}]


def topic_rows(challenger: Side) -> list[dict[str, Any]]:
    """The challenger by topic: turns, right answers, own-speech word errors."""
    rows = []
    for topic in sorted({row["topic"] for row in challenger.rows.values()}):
        mine = [row for row in challenger.rows.values() if row["topic"] == topic]
        words = sum(row["reference_words"] for row in mine)
        rows.append({
            "topic": topic, "turns": len(mine), "accuracy": sum(row["correct"] for row in mine) / len(mine),
            "wer": sum(row["errors"] for row in mine) / words if words else None,
            "question_wer": sum(row["question_errors"] for row in mine) / max(1, sum(row["question_words"] for row in mine)),
        })  # fmt: skip
    return rows


def worst_rows(challenger: Side) -> list[dict[str, Any]]:
    """Up to ten turns that went wrong: most word errors of the own speech, then wrong answers."""
    wrong = [row for row in challenger.rows.values() if row["errors"] > 0 or row["correct"] < 1]
    worst = sorted(
        wrong, key=lambda row: (-row["errors"] / max(1, row["reference_words"]), row["correct"], row["turn_id"])
    )
    return worst[:WORST]


# ---------------------------------------------------------------- pictures and sound


def _gain_plot(verdict: Artifact) -> str:
    rows = [
        (name.replace("_", " "), c["gain"], c["lower"], c["upper"], c["margin"])
        for name, c in verdict.facts["comparisons"].items()
        if c["margin"]
    ]
    return plots.gain_plot(rows) if rows else ""


def latency_plots(store: ArtifactStore, latency: Artifact) -> list[str]:
    """Time to first audio and real-time factor of every answer that was timed."""
    table = pq.read_table(store.folder(latency) / PER_ANSWER).to_pylist()
    rows = [row for row in table if row["who"] == CHALLENGER and row["audio_s"]]
    if not rows:
        return []
    gates = latency.settings
    return [
        plots.latency_plot("time to first audio, ms", [1000 * row["time_to_first_audio_s"] for row in rows],
                           gates["max_time_to_first_audio_p95_ms"], "p95"),
        plots.latency_plot("real-time factor", [row["total_s"] / row["audio_s"] for row in rows],
                           gates["max_real_time_factor"], "p50"),
    ]  # fmt: skip


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
            "pictures": [plots.loss_curve(name, points) for name, points in long.items()],
            "ends": {name: points[-1][1] for name, points in curves.items() if name not in long},
        }
    return found


def listening(challenger: Side, champion: Side | None) -> list[dict[str, Any]]:
    """Turns with sound: the question, and what each model and the teacher said; the first ones with spectrograms."""
    cards: list[dict[str, Any]] = []
    for row in (row for row in challenger.rows.values() if row["clip"]):
        other = champion.rows.get(row["turn_id"]) if champion else None
        voices = [_voice("challenger", row["spoken_text"], row["transcript"], challenger.clip(row, "answer"), row)]
        if champion and other:
            voices.append(
                _voice("champion", other["spoken_text"], other["transcript"], champion.clip(other, "answer"), other)
            )
        voices.append(
            _voice("teacher", row["answer_text"], row["teacher_transcript"], challenger.clip(row, "teacher"), None)
        )
        if len(cards) < SPECTROGRAMS:
            voices = [voice | {"picture": _picture(voice["path"])} for voice in voices]
        cards.append({"turn": row, "question": _sound(challenger.clip(row, "question")), "voices": voices})
    return cards


def _voice(who: str, text: str, heard: str | None, path: Path | None, row: Mapping[str, Any] | None) -> dict[str, Any]:
    right = bool(row["correct"]) if row else None
    return {
        "who": who,
        "text": text,
        "heard": heard,
        "path": path,
        "sound": _sound(path),
        "right": right,
        "spoke": bool(row and row["duration_s"]),
        "errors": row["errors"] if row else None,
        "picture": "",
    }


def _sound(path: Path | None) -> str:
    return plots.data_uri(path.read_bytes(), "audio/ogg") if path else ""


def _picture(path: Path | None) -> str:
    return plots.spectrogram(*decode(path)) if path else ""
