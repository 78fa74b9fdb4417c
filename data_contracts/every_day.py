"""The small flows beside `retrain`: the one parameter of each, from which its form is made."""

from __future__ import annotations

from pydantic import Field

from data_contracts.base import Settings
from data_contracts.benchmark import BenchmarkSettings
from data_contracts.compare import CompareSettings
from data_contracts.promote import PromoteSettings


class CompareRunSettings(Settings):
    """Compare two models, both on the sealed set that the challenger was evaluated on; nothing is promoted."""

    home: str = "var"
    """Folder (or fsspec URL) of the artifact store and the local tracking database."""
    challenger: str = Field("champion", min_length=1)
    """Version, alias (champion, previous) or the beginning of an MLflow run's id."""
    champion: str = Field("previous", min_length=1)
    """What it is compared with: version, alias or the beginning of an MLflow run's id."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    compare: CompareSettings = CompareSettings()
    promote: PromoteSettings = PromoteSettings()


class BenchmarkRunSettings(Settings):
    """Measure the latency of a model again, on the machine of the worker."""

    home: str = "var"
    """Folder (or fsspec URL) of the artifact store and the local tracking database."""
    model: str = Field("champion", min_length=1)
    """Version, alias (champion, previous) or the beginning of an MLflow run's id."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    promote: PromoteSettings = PromoteSettings()


class RollbackSettings(Settings):
    """Make the champion before champion again; the version's files are checked first."""

    home: str = "var"
    """Folder (or fsspec URL) of the artifact store and the local tracking database."""
    to: str = ""
    """A version that was champion; empty: the one before the champion of now."""
    promote: PromoteSettings = PromoteSettings()
