"""An EvaluationReport enters, what each turn adds to each figure leaves; two reports that cannot be paired are refused.

per_utterance.parquet -> sums     above and below the line, for figures that are ratios of sums
                      -> samples  one value a turn, for percentiles
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import ArtifactError, MetricError
from data_contracts.evaluate import EvaluationReport
from omni_core.bootstrap import clusters_of
from omni_core.metrics import Figure
from omni_core.store import ArtifactStore

PERCENTILES = {"time_to_first_audio_p95_ms": ("time_to_first_audio_ms", 0.95)}
"""Figure -> its column and level. Gains of these are shares of the champion's value."""
PAIRED_SETTINGS = ("judge", "max_turns", "perceptual_turns", "seed")
FACTS = ("metrics", "sealed_set", "turns")


@dataclass(frozen=True)
class Scores:
    """One report, unpacked: figures by name and what each turn adds to them above and below the line."""

    turn_ids: list[str]
    speakers: np.ndarray
    figures: dict[str, Figure]
    sums: dict[str, tuple[np.ndarray, np.ndarray]]
    samples: dict[str, np.ndarray] = field(default_factory=dict)
    """Name in PERCENTILES -> (turns,)."""
    scored: dict[str, np.ndarray] = field(default_factory=dict)
    """Figure -> which turns were scored, (turns,) bool; a figure that is not here was scored on all that count."""

    def value(self, name: str) -> float:
        """The figure over all its turns."""
        above, below = self.sums[name]
        return float(above.sum() / below.sum())

    def count(self, name: str) -> int:
        """Turns that the figure counts."""
        return int((self.sums[name][1] > 0).sum())

    def was_scored(self, name: str) -> np.ndarray:
        """(turns,) bool."""
        return self.scored.get(name, self.sums[name][1] > 0)

    @property
    def clusters(self) -> int:
        """What the bootstrap draws: speakers, or turns when there is one speaker."""
        return int(clusters_of(self.speakers).max()) + 1


def read_scores(store: ArtifactStore, report: EvaluationReport) -> Scores:
    """Unpack per_utterance.parquet by the figures that the report's card describes.

    Raises ArtifactError when card or table cannot be read, MetricError naming a figure that cannot be computed.
    """
    _check_card(report)
    table = _table(store, report)
    figures = {name: _figure(name, card) for name, card in report.facts["metrics"].items()}
    numbers = {
        column: _numbers(table, column, name)
        for name, figure in figures.items()
        for column in (figure.numerator, figure.denominator)
        if column
    }
    for figure in figures.values():
        figure.of(numbers)  # MetricError when it counts no turn
    return Scores(
        _texts(table, "turn_id"),
        _speakers(table),
        figures,
        {name: figure.sums(numbers) for name, figure in figures.items()},
        {name: _complete(table, column, name) for name, (column, _) in PERCENTILES.items()},
        {name: ~np.isnan(numbers[figure.numerator]) for name, figure in figures.items()},
    )


def check_paired(challenger: EvaluationReport, champion: EvaluationReport) -> None:
    """Raise ArtifactError unless both were asked the same questions and heard by the same judge."""
    for report in (challenger, champion):
        _check_card(report)
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


def check_turns(challenger: Scores, champion: Scores, guarded: Sequence[str]) -> None:
    """Raise unless both have the same turns, and the same of them are scored by each guarded figure."""
    if challenger.turn_ids != champion.turn_ids:
        raise ArtifactError(
            "challenger and champion do not have the same turns in the same order; evaluate the champion again"
        )
    for name in guarded:
        if name in PERCENTILES:
            continue
        differ = np.flatnonzero(_none_of(challenger, name) != _none_of(champion, name))
        if len(differ):
            raise MetricError(
                f"{name} of turn {challenger.turn_ids[differ[0]]} was scored for one of challenger and champion only, so "
                "the two cannot be compared; evaluate the champion again with this run's evaluate.metrics"
            )


def _none_of(scores: Scores, name: str) -> np.ndarray:
    return ~scores.scored[name] if name in scores.scored else np.zeros(len(scores.turn_ids), bool)


# ---------------------------------------------------------------- reading


def _check_card(report: EvaluationReport) -> None:
    missing = [name for name in FACTS if name not in report.facts]
    if missing:
        raise ArtifactError(
            f"the card of evaluation {report.digest[:12]} says nothing of {', '.join(missing)}; evaluate the model again"
        )


def _table(store: ArtifactStore, report: EvaluationReport) -> pa.Table:
    path = store.folder(report) / "per_utterance.parquet"
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(
            f"per_utterance.parquet of evaluation {report.digest[:12]} cannot be read ({str(error).splitlines()[0]}); "
            "evaluate the model again"
        ) from error


def _figure(name: str, card: Any) -> Figure:
    try:
        return Figure(name, *(card[key] for key in ("unit", "better", "meaning", "numerator", "denominator")))
    except (KeyError, TypeError) as error:
        raise MetricError(
            f"{name} cannot be read: its card lacks {error}; evaluate the model again with this version"
        ) from error


def _column(table: pa.Table, column: str, figure: str) -> pa.ChunkedArray:
    if column not in table.column_names:
        raise MetricError(
            f"{figure} cannot be read: per_utterance.parquet has no column '{column}'; evaluate the model again"
        )
    return table[column]


def _numbers(table: pa.Table, column: str, figure: str) -> np.ndarray:
    """(turns,) float64 with NaN for null, which means not asked for; MetricError for a value that is no number."""
    values = _column(table, column, figure)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_null(values.type)):
        raise MetricError(
            f"{figure} cannot be read: its column '{column}' holds {values.type}; evaluate the model again"
        )
    for turn_id, value in zip(_texts(table, "turn_id"), values.to_pylist(), strict=True):
        if value is not None and not np.isfinite(value):
            raise MetricError(
                f"{figure} cannot be computed: '{column}' of turn {turn_id} is {value}; look at that turn, then evaluate again"
            )
    return np.array(values.to_pylist(), np.float64)


def _complete(table: pa.Table, column: str, figure: str) -> np.ndarray:
    """(turns,) of a column that every turn has, all positive."""
    values = _numbers(table, column, figure)
    if not (values > 0).all():
        raise MetricError(
            f"{figure} cannot be computed: '{column}' is missing or not positive in turn "
            f"{_texts(table, 'turn_id')[int(np.argmin(values > 0))]}; evaluate the model again"
        )
    return values


def _texts(table: pa.Table, column: str) -> list[str]:
    return _column(table, column, "the comparison").to_pylist()


def _speakers(table: pa.Table) -> np.ndarray:
    """Who asked, (turns,): speaker, told apart by source where the table has it."""
    speakers = _texts(table, "speaker")
    if "source" not in table.column_names:
        return np.array(speakers)
    return np.array([f"{source}/{speaker}" for source, speaker in zip(_texts(table, "source"), speakers, strict=True)])
