"""The exception tree: what a person did or met (exit code 2, one sentence) against what we did wrong (assert)."""

from __future__ import annotations


class OmniError(Exception):
    """Base of every error that speaks to a person: names the thing, says the mend. The CLI exits with 2."""


class SettingsError(OmniError):
    """A setting is unknown, out of range, or does not fit another."""


class SourceError(OmniError):
    """A source of data cannot be read at all: missing folder, empty folder, wrong column."""


class TooManyRejectedError(OmniError):
    """More records were set aside than the settings allow; the rejected table was kept."""


class WeightsError(OmniError):
    """Weights are missing, or are not the ones whose sha256 is written down."""


class ComponentError(OmniError):
    """A component is unknown, or two components do not fit each other."""


class ArtifactError(OmniError):
    """An artifact is missing, half written or altered."""


class StorageError(OmniError):
    """The disk or the object store refused a write; nothing half-written was left under a final name."""


class MetricError(OmniError):
    """A metric cannot be computed; the run fails, the metric never becomes None."""


class PromotionError(OmniError):
    """The registry refused, or a registered model failed its probes; the champion was not moved."""
