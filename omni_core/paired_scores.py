"""Reports of one sealed set enter; each figure's value, its gain over the other model, and their bounds leave.

per_utterance.parquet -> Scores     what each turn adds to each figure, above and below the line
Scores, Scores        -> Comparison gain, bounds and p value of a figure, both models read on the same drawn turns
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet as pq

from data_contracts.compare import CompareSettings
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.evaluate import EvaluationReport
from omni_core.bootstrap import clusters_of, holm, replicate, widened, widening
from omni_core.metrics import Figure
from omni_core.store import ArtifactStore

GUARDS = {"own_speech_wer": "wer_margin", "answer_accuracy": "accuracy_margin", "distill_mos": "mos_margin"}
"""Figure -> its margin in CompareSettings. All of them are guards and targets."""
PAIRED_SETTINGS = ("judge", "max_turns", "perceptual_turns")


@dataclass(frozen=True)
class Scores:
    """One report, unpacked: figures by name and what each turn adds to them above and below the line."""

    turn_ids: list[str]
    speakers: np.ndarray
    figures: dict[str, Figure]
    sums: dict[str, tuple[np.ndarray, np.ndarray]]

    def value(self, name: str) -> float:
        """The figure over all its turns."""
        above, below = self.sums[name]
        return float(above.sum() / below.sum())

    def count(self, name: str) -> int:
        """Turns that the figure counts."""
        return int((self.sums[name][1] > 0).sum())

    @property
    def clusters(self) -> int:
        """What the bootstrap draws: speakers, or turns when there is one speaker."""
        return int(clusters_of(self.speakers).max()) + 1


@dataclass(frozen=True)
class Comparison:
    """One figure of two models. `gain` is positive when the challenger is better, whatever the figure's direction."""

    name: str
    unit: str
    better: str
    challenger: float
    champion: float
    gain: float
    lower: float
    """One-sided bound: the gain is at least this, at `confidence`."""
    upper: float
    standard_error: float
    """Of the gain, widened for few speakers."""
    p_value: float
    """Of no gain; Holm-adjusted for a target."""
    margin: float | None
    """Loss that still counts as no worse; None for a figure that is no guard."""
    n: int
    speakers: int


def read_scores(store: ArtifactStore, report: EvaluationReport) -> Scores:
    """Unpack per_utterance.parquet by the figures that the report's card describes."""
    columns = pq.read_table(store.folder(report) / "per_utterance.parquet").to_pydict()
    figures = {
        name: Figure(name, f["unit"], f["better"], f["meaning"], f["numerator"], f["denominator"])
        for name, f in report.facts["metrics"].items()
    }  # fmt: skip
    missing = [name for name in GUARDS if name not in figures]
    if missing:
        raise MetricError(
            f"{', '.join(missing)} was not measured, and compare guards it; add its metric to evaluate.metrics"
        )
    numbers = {
        name: np.array(columns[name], np.float64)
        for f in figures.values()
        for name in (f.numerator, f.denominator)
        if name
    }
    return Scores(
        columns["turn_id"],
        np.array(columns["speaker"]),
        figures,
        {name: figure.sums(numbers) for name, figure in figures.items()},
    )


def check_paired(challenger: EvaluationReport, champion: EvaluationReport) -> None:
    """Raise ArtifactError unless both were asked the same questions and heard by the same judge."""
    if challenger.facts["sealed_set"] != champion.facts["sealed_set"]:
        raise ArtifactError(
            f"challenger and champion were evaluated on different sealed sets ({challenger.facts['sealed_set'][:12]} of "
            f"{challenger.facts['turns']} turns, {champion.facts['sealed_set'][:12]} of {champion.facts['turns']}); "
            "evaluate the champion on the manifest of this run"
        )
    for name in PAIRED_SETTINGS:
        ours, theirs = challenger.settings.get(name), champion.settings.get(name)
        if ours != theirs:
            raise ArtifactError(
                f"challenger and champion were evaluated with different evaluate.{name} ({ours} and "
                f"{theirs}); evaluate the champion with the settings of this run"
            )


def compare_scores(challenger: Scores, champion: Scores, settings: CompareSettings) -> dict[str, Comparison]:
    """Every figure that both have, paired by turn."""
    if challenger.turn_ids != champion.turn_ids:
        raise ArtifactError(
            "challenger and champion do not have the same turns in the same order; evaluate the champion again"
        )
    names = [name for name in challenger.figures if name in champion.figures]
    sums = {
        f"{who} {name}": scores.sums[name] for who, scores in (("new", challenger), ("old", champion)) for name in names
    }
    drawn = replicate(sums, clusters_of(challenger.speakers), settings.replicates, settings.seed)
    gains = {name: _sign(challenger.figures[name]) * (drawn[f"new {name}"] - drawn[f"old {name}"]) for name in names}
    found = {name: _comparison(name, challenger, champion, gains[name], settings) for name in names}
    adjusted = holm({name: found[name].p_value for name in GUARDS})
    return found | {name: replace(found[name], p_value=p) for name, p in adjusted.items()}


def _sign(figure: Figure) -> int:
    return 1 if figure.better == "higher" else -1


def _comparison(
    name: str, challenger: Scores, champion: Scores, gains: np.ndarray, settings: CompareSettings
) -> Comparison:
    figure, clusters = challenger.figures[name], challenger.clusters
    new, old = challenger.value(name), champion.value(name)
    gain, confidence = _sign(figure) * (new - old), settings.confidence
    lower, upper = _bounds(gains, gain, clusters, confidence)
    strict = widened(gains[np.isfinite(gains)], gain, clusters, 1 - (1 - confidence) / len(GUARDS))
    return Comparison(
        name=name, unit=figure.unit, better=figure.better, challenger=new, champion=old, gain=gain, lower=lower,
        upper=upper, standard_error=float(np.nanstd(gains)) * widening(clusters, confidence),
        p_value=(1 + int((strict <= 0).sum())) / (1 + len(strict)),
        margin=getattr(settings, GUARDS[name]) if name in GUARDS else None,
        n=challenger.count(name), speakers=len(np.unique(challenger.speakers)),
    )  # fmt: skip


def _bounds(values: np.ndarray, estimate: float, clusters: int, confidence: float) -> tuple[float, float]:
    """The two one-sided bounds of bootstrapped values."""
    lower, upper = np.nanquantile(widened(values, estimate, clusters, confidence), [1 - confidence, confidence])
    return float(lower), float(upper)


def intervals(scores: Scores, settings: CompareSettings) -> dict[str, tuple[float, float]]:
    """Figure -> its two one-sided bounds at `confidence`, for the report's table; a fraction's stay in its range."""
    drawn = replicate(scores.sums, clusters_of(scores.speakers), settings.replicates, settings.seed)
    found = {}
    for name, values in drawn.items():
        lower, upper = _bounds(values, scores.value(name), scores.clusters, settings.confidence)
        if scores.figures[name].unit == "fraction":
            lower, upper = max(0.0, lower), upper if scores.figures[name].denominator else min(1.0, upper)
        found[name] = (lower, upper)
    return found
