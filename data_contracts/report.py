"""What report leaves: one HTML page that explains the verdict."""

from __future__ import annotations

from typing import ClassVar

from data_contracts.base import Artifact


class Report(Artifact):
    """report.html, everything inside it. inputs: role -> digest of every artifact that it speaks of."""

    kind: ClassVar[str] = "report"
