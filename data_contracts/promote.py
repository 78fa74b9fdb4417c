"""What promote takes and returns: the registered model's name and version, and whether the alias moved."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from data_contracts.base import Artifact, Settings


class PromoteSettings(Settings):
    """Where a model that won goes."""

    registered_model: str = Field("omnirefit-assistant", min_length=1, max_length=100)
    """Name in the MLflow model registry."""
    alias: str = "champion"
    """Alias that the winner gets."""


class Promotion(Artifact):
    """promotion.json. facts: registered_model, version, alias, promoted (bool), reason."""

    kind: ClassVar[str] = "promotion"
