"""What report takes and leaves: one HTML page that explains the verdict."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from data_contracts.base import Artifact, Settings


class ReportSettings(Settings):
    """What the page lets hear, and what an hour costs. Clips are of those that evaluate.clips_kept has kept."""

    clips: int = Field(6, ge=0, le=200)
    """Questions with players and spectrograms, the first by turn_id: what is usual."""
    worst: int = Field(20, ge=0, le=200)
    """Worst answers with players."""
    price_per_hour: float = Field(0.0, ge=0)
    """What an hour of this machine costs; 0 leaves money out of the page."""
    currency: str = Field("EUR", min_length=1, max_length=8)
    """Of the price."""


class Report(Artifact):
    """report.html, everything inside it. inputs: role -> digest of every artifact that it speaks of."""

    kind: ClassVar[str] = "report"
