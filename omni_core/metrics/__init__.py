"""Metrics: answered turns enter, columns of numbers leave, a row a turn. A file here is a metric; its name is the name in settings.

What a metric is:

    score   answered turns -> {column: a number a turn}          None: not asked for; NaN is an error
    figures what the columns sum up to, each   sum(numerator) / sum(denominator)

A corpus word error rate is errors / words, a share or a mean has the count of rows below the line. So that one rule
serves all figures, also inside each replicate of a bootstrap (omni_core/compare.py). `load(pack, threads)` makes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from data_contracts.errors import MetricError, WeightsError
from omni_core.store import sha256_of

if TYPE_CHECKING:
    from omni_core.spoken_pairs import SpokenPair

Columns = dict[str, list[float | None]]


@dataclass(frozen=True)
class TextProbe:
    """One general question put to the served text path and to the base model; see omni_core/text_probes.py."""

    question: str
    tokens: int
    """Tokens of the right answer, the end sign with them."""
    served_nats: float
    """-log probability of the right answer behind the served model's tuned prefix."""
    base_nats: float
    """The same by the base model, shown examples of the form."""
    served_right: bool
    """The word that answers is the likeliest at its place."""
    base_right: bool


@dataclass(frozen=True)
class AnsweredTurn:
    """One sealed turn with what the model made of it. Waveforms are (samples,) float32 in -1..1."""

    turn_id: str
    question_text: str
    reference_text: str
    """The answer that the data holds."""
    heard_text: str
    """The question as the model heard it."""
    spoken_text: str
    """The answer as the model wrote it."""
    waveform: np.ndarray
    """The answer as the model spoke it; no samples when it said nothing."""
    sample_rate_hz: int
    transcript: str
    """The judge on `waveform`."""
    teacher_waveform: np.ndarray
    teacher_sample_rate_hz: int
    teacher_transcript: str | None = None
    """The judge on the teacher's recording; None where it was not asked."""
    codec_transcript: str | None = None
    """The judge on the teacher's recording after the codec has encoded and decoded it; None where it was not asked."""
    language: str = "en"
    """BCP 47 tag that the answer should be in."""
    heard_language: str | None = None
    """The language that a multilingual judge hears in `waveform`; None where it was not asked."""
    text_in_answer: str | None = None
    """What the same model writes when it reads the question instead of hearing it; None where it was not asked."""
    time_to_first_audio_s: float | None = None
    total_s: float | None = None
    """From the end of the question to the end of computing."""
    text_probe: TextProbe | None = None
    """A general question, the turn's number in the list; None where it was not asked."""

    @cached_property
    def beside_teacher(self) -> SpokenPair | None:
        """Answer and teacher's recording on one clock, computed once; None when either holds no speech.

        Only to be read where both say the same words (omni_core.spoken_pairs.same_words).
        """
        from omni_core.spoken_pairs import side_by_side

        return side_by_side(self.waveform, self.sample_rate_hz, self.teacher_waveform, self.teacher_sample_rate_hz)


@dataclass(frozen=True)
class Figure:
    """One number of the report: what the sums of two columns mean."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    meaning: str
    numerator: str
    denominator: str | None = None
    """Column under the line; None counts the rows that have a numerator."""
    parts: Literal["text", "all"] = field(default="all", kw_only=True)
    """Parts of a model that decide it. text: those that hear the question and write the answer (omni_core/answering_parts.py),
    so that two models with the same ones are equal in it by construction; all: those that speak, too."""

    def of(self, table: Mapping[str, np.ndarray]) -> float:
        """Columns (rows,) with NaN where a turn was not scored -> the figure; MetricError when nothing was scored."""
        above, below = self.sums(table)
        if not below.sum() > 0:
            raise MetricError(
                f"{self.name} cannot be computed: no turn has {self.denominator or self.numerator}; "
                "evaluate more turns, or leave its metric out of evaluate.metrics"
            )
        return float(above.sum() / below.sum())

    def sums(self, table: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What each row adds above and below the line, (rows,) each; 0 and 0 for a turn that was not scored."""
        above = np.asarray(table[self.numerator], np.float64)
        scored = ~np.isnan(above)
        below = np.asarray(table[self.denominator], np.float64) if self.denominator else np.ones(len(above))
        return np.where(scored, above, 0.0), np.where(scored, below, 0.0)

    def count(self, table: Mapping[str, np.ndarray]) -> int:
        """Turns that were scored."""
        return int((~np.isnan(np.asarray(table[self.numerator], np.float64))).sum())


def check_weights(path: Path, expected: str, package: str) -> None:
    """A metric's own weights are judges too: raises WeightsError unless the file has the sha256 that is written down.

    package: "name==version" that it comes with.
    """
    if (found := sha256_of(path)) != expected:
        raise WeightsError(
            f"{path.name} of {package.split('==')[0]} is not the file we know: expected sha256 {expected}, found {found}; "
            f"install {package} again"
        )


class LanguagePack(Protocol):
    """What metrics need of a language: text -> normalised words, so that spelling and figures do not count."""

    def words(self, text: str) -> list[str]: ...


class Metric(Protocol):
    """The role; see the module's picture."""

    figures: tuple[Figure, ...]
    is_slow: bool
    """True: scored on the first `evaluate.perceptual_turns` turns only."""

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns: ...
