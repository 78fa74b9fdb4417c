"""What a listening test takes and returns: two sides of equal clips, raters' answers, a preference that can be believed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from data_contracts.base import Artifact, Settings

Side = Literal["a", "b"]
Design = Literal["ab", "abx"]


class ListeningTestSettings(Settings):
    """What raters meet. Other settings make another test, whose answers are counted apart."""

    design: Design = "ab"
    """ab: which of two clips is better; abx: which of two clips is X ("can anyone hear the quantization?")."""
    question: str = Field("Which one sounds better?", min_length=3, max_length=200)
    """Asked with every pair of design ab; abx asks which clip is X."""
    pairs_per_rater: int = Field(20, ge=1, le=200)
    """Pairs that one rater hears; those that fewest raters have heard so far."""
    attention_checks: int = Field(3, ge=0, le=20)
    """Hidden trials with a known answer (one clip is drowned in noise), spread over the session."""
    max_failed_checks: int = Field(0, ge=0)
    """A rater who fails more is left out, with the reason said."""
    raters: int = Field(12, ge=1, le=10_000)
    """Raters that are planned; a verdict waits for as many, so that nobody stops the test when he likes the result."""
    loudness_lufs: float = Field(-23.0, ge=-40, le=-14)
    """Integrated loudness of every clip (ITU-R BS.1770-4); -23 is the broadcasters' level (EBU R 128)."""
    seed: int = Field(0, ge=0)
    """Of orders, sides and noise."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of each one-sided bound."""

    @model_validator(mode="after")
    def _checks_are_the_smaller_part(self) -> ListeningTestSettings:
        if self.attention_checks > self.pairs_per_rater:
            raise ValueError(
                f"attention_checks ({self.attention_checks}) exceed pairs_per_rater ({self.pairs_per_rater}); ask for fewer checks or more pairs"
            )
        return self


class ListeningTest(Artifact):
    """test.json and clips/<item>-<a|b>.wav, loudness-matched, 16 bit: all that the page needs.

    test.json: items [{item, context}], checks [item], set_aside [{item, reason}]; inputs a and b when they are reports;
    facts: names of a and b, sealed_set, pairs, set_aside.
    """

    kind: ClassVar[str] = "listening_test"


class ListeningResult(Artifact):
    """answers.parquet and result.json: who answered what, and what it says.

    facts: design, a, b, share (for b; of right answers for abx) with lower and upper, p values, answers,
    raters_counted, left_out [{rater, reason}], sentences.
    """

    kind: ClassVar[str] = "listening_result"
    told_in: ClassVar[str] = "result.json"
