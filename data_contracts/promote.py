"""What promote takes and returns: the registered model's name and version, whether the alias moved, and the history."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from data_contracts.base import Artifact, Settings


class PromoteSettings(Settings):
    """Where a model that won goes."""

    registered_model: str = Field("omnirefit-assistant", min_length=1, max_length=100)
    """Name in the MLflow model registry."""
    alias: str = Field("champion", pattern=r"^[\w-]+$", max_length=50)
    """Alias that the winner gets."""
    previous_alias: str = Field("previous", pattern=r"^[\w-]+$", max_length=50)
    """Alias of the champion before, where a rollback goes."""
    approval: bool = False
    """A person says yes to every promotion first: in Prefect's UI, or on the terminal when no server runs."""
    approval_within_hours: float = Field(72.0, gt=0, le=8760)
    """A run that waits longer for its approval fails; nothing is promoted."""


class Promotion(Artifact):
    """promotion.json. facts: registered_model, version, alias, promoted (bool), reason."""

    kind: ClassVar[str] = "promotion"


class Version(BaseModel):
    """A registered version and what its tags hold."""

    model_config = ConfigDict(frozen=True)

    number: str
    run_id: str = ""
    """The MLflow run that made it."""
    made: datetime
    tags: dict[str, str] = Field(default_factory=dict)

    @property
    def model(self) -> str:
        """Digest of the QuantizedModel."""
        return self.tags.get("model", "")

    @property
    def champion_before(self) -> str:
        """Digest of the QuantizedModel that it was compared with, or empty."""
        return self.tags.get("champion_before", "")


class HistoryEntry(BaseModel):
    """One line of a registered model's history, which is only ever appended to; its number is its order, not its time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    action: Literal["promote", "rollback"]
    version: str
    """The champion from here on; empty: none is left."""
    was: str
    """The champion until here; empty: there was none."""
    model: str = ""
    """Digest of the champion's QuantizedModel."""
    verdict: str = ""
    """Digest of the verdict that a promotion follows."""
    reason: str = Field("", max_length=1000)
    at: datetime
    """By the clock of the machine that wrote it, UTC."""
    by: str = ""
    """user@machine."""
    token: str
    """Tells two writers of the same line apart."""
