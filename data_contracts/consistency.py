"""What check_consistency takes and returns: whether the parts of one model, put together, fit each other and say one thing."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from data_contracts.base import Artifact, Settings


class ConsistencySettings(Settings):
    """How many answers are listened to, and what still counts as consistent.

    The bounds catch parts that do not belong together, not models that could be better: compare's gates do that.
    """

    answers: int = Field(3, ge=1, le=50)
    """Validation questions that are answered and judged."""
    threads: int = Field(2, ge=1)
    """CPU threads of the model and the judge."""
    max_own_speech_wer: float = Field(0.6, ge=0, le=100)
    """Gate: words that the judge hears otherwise than the model wrote them, over all these answers (fraction)."""
    min_ended_answers: float = Field(0.5, ge=0, le=1)
    """Gate: share of the answers that come to their end token, instead of being cut off."""
    max_speech_on_silence_s: float = Field(0.0, ge=0)
    """Gate: seconds of sound that come back when nobody has spoken."""


class ConsistencyReport(Artifact):
    """consistency.json. A model whose parts do not fit at all gets none: the stage refuses it.

    facts: passed (bool), reasons (sentences, against the model), checks (list of {check, found, has_to_be, passed}),
    own_speech_wer, ended_answers, speech_on_silence_s, long_question_positions, context (0: no limit stated).
    """

    kind: ClassVar[str] = "consistency"
    told_in: ClassVar[str] = "consistency.json"
