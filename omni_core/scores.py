"""An EvaluationReport enters, what each turn adds to each figure leaves; two reports that cannot be paired are refused.

per_utterance.parquet of evaluate   -> sums     above and below the line, for figures that are ratios of sums
per_answer.parquet of the benchmark -> samples  one value a question, for percentiles: both models timed in one session
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.base import Artifact
from data_contracts.benchmark import CHALLENGER, CHAMPION, PER_ANSWER, LatencyReport
from data_contracts.errors import ArtifactError, MetricError
from data_contracts.evaluate import EvaluationReport
from omni_core.bootstrap import clusters_of
from omni_core.metrics import Figure
from omni_core.store import ArtifactStore

FIRST_AUDIO = "time_to_first_audio_p95_ms"
PERCENTILES = {FIRST_AUDIO: 0.95}
"""Figure -> its level. Gains of these are shares of the champion's value."""
PAIRED_SETTINGS = ("judge", "max_turns", "perceptual_turns")
FACTS = ("metrics", "sealed_set", "turns", "judge_sha256")


@dataclass(frozen=True)
class Sample:
    """One value a question, and who asked it: (questions,) each."""

    values: np.ndarray
    speakers: np.ndarray


@dataclass(frozen=True)
class Scores:
    """One report, unpacked: figures by name and what each turn adds to them above and below the line."""

    turn_ids: list[str]
    speakers: np.ndarray
    figures: dict[str, Figure]
    sums: dict[str, tuple[np.ndarray, np.ndarray]]
    samples: dict[str, Sample] = field(default_factory=dict)
    """Name in PERCENTILES -> what its percentile is of; the same questions in the same order for both models."""
    scored: dict[str, np.ndarray] = field(default_factory=dict)
    """Figure -> which turns were scored, (turns,) bool; a figure that is not here was scored on all that count."""
    parts: dict[str, str] = field(default_factory=dict)
    """Part -> digest, of what decides the written answers; empty: the report does not tell."""
    written: list[str] = field(default_factory=list)
    """The answers as the model wrote them, where the report tells its parts."""

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
    table = _table(store, report, "per_utterance.parquet", "evaluate the model again")
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
        scored={name: ~np.isnan(numbers[figure.numerator]) for name, figure in figures.items()},
        parts=report.facts.get("parts", {}),
        written=_texts(table, "spoken_text") if "parts" in report.facts else [],
    )


def timed_together(
    store: ArtifactStore, latency: LatencyReport, challenger: EvaluationReport, champion: EvaluationReport
) -> tuple[Sample, Sample]:
    """Time to first audio, ms, of challenger and champion, by the questions that both answered with sound.

    A question's time is the median of its rounds. Raises ArtifactError unless these two models were timed in one session.
    """
    for role, who, report in (("model", CHALLENGER, challenger), (CHAMPION, CHAMPION, champion)):
        if latency.inputs.get(role) != report.inputs.get("model"):
            raise ArtifactError(
                f"the benchmark {latency.digest[:12]} did not time the {who} of this comparison beside the other; run the "
                "flow again, it times both in one session"
            )
    rows = _table(store, latency, PER_ANSWER, "time the models again").to_pylist()
    sides = [_waits_ms(rows, who) for who in (CHALLENGER, CHAMPION)]
    both = [question for question in sides[0] if question in sides[1]]
    if not both:
        raise MetricError(
            f"{FIRST_AUDIO} cannot be computed: challenger and champion answered no question both with sound in the "
            "benchmark; look at the answers' text in the evaluations"
        )
    speakers = {row["question_id"]: f"{row['source']}/{row['speaker']}" for row in rows}
    asked_by = np.array([speakers[question] for question in both])
    ours, theirs = (Sample(np.array([side[question] for question in both]), asked_by) for side in sides)
    return ours, theirs


def _waits_ms(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, float]:
    """Question -> median of its rounds, in the table's order; those that stayed silent are left out."""
    waits: dict[str, list[float]] = {}
    for row in rows:
        if row["who"] == who:
            waits.setdefault(row["question_id"], []).append(1000 * row["time_to_first_audio_s"])
    return {question: float(np.median(times)) for question, times in waits.items() if min(times) > 0}


MEND = "run the flow again, or the deployment `compare`: both evaluate the champion as the challenger was"


def check_paired(challenger: EvaluationReport, champion: EvaluationReport) -> None:
    """Raise ArtifactError unless both were asked the same questions and heard by the same judge."""
    for report in (challenger, champion):
        _check_card(report)
    if challenger.facts["sealed_set"] != champion.facts["sealed_set"]:
        raise ArtifactError(
            f"challenger and champion were evaluated on different sealed sets ({challenger.facts['sealed_set'][:12]} of "
            f"{challenger.facts['turns']} turns, {champion.facts['sealed_set'][:12]} of {champion.facts['turns']}); "
            f"{MEND}"
        )
    for name in PAIRED_SETTINGS:
        ours, theirs = challenger.settings.get(name), champion.settings.get(name)
        if ours != theirs:
            raise ArtifactError(
                f"challenger and champion were evaluated with different evaluate.{name} ({ours} and {theirs}); {MEND}"
            )
    ours, theirs = (report.facts["judge_sha256"] for report in (challenger, champion))
    if ours != theirs:
        raise ArtifactError(
            f"challenger and champion were heard by different judges, though both are called {challenger.settings.get('judge')} "
            f"(sha256 of their weights {ours[:12]} and {theirs[:12]}); evaluate the champion again with the judge of this run"
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


def _table(store: ArtifactStore, report: Artifact, name: str, mend: str) -> pa.Table:
    try:
        return pq.read_table(store.folder(report) / name)
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(
            f"{name} of {report.kind_name} {report.digest[:12]} cannot be read ({str(error).splitlines()[0]}); {mend}"
        ) from error


def _figure(name: str, card: Any) -> Figure:
    try:
        known = (card[key] for key in ("unit", "better", "meaning", "numerator", "denominator"))
        return Figure(name, *known, parts=card.get("parts", "all"))
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


def _texts(table: pa.Table, column: str) -> list[str]:
    return _column(table, column, "the comparison").to_pylist()


def _speakers(table: pa.Table) -> np.ndarray:
    """Who asked, (turns,): speaker, told apart by source where the table has it."""
    speakers = _texts(table, "speaker")
    if "source" not in table.column_names:
        return np.array(speakers)
    return np.array([f"{source}/{speaker}" for source, speaker in zip(_texts(table, "source"), speakers, strict=True)])
