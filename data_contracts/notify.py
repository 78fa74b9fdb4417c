"""Who is told of what: the Prefect block that sends, and the occasions."""

from __future__ import annotations

from typing import Literal

from data_contracts.base import Settings

Occasion = Literal["promoted", "not promoted", "approval wanted", "failed"]


class NotifySettings(Settings):
    """Whom a run tells how it went."""

    block: str = ""
    """Prefect notification block, as custom-webhook/team or slack-webhook/team (made in the UI under Blocks); empty: nobody."""
    occasions: tuple[Occasion, ...] = ("promoted", "not promoted", "approval wanted", "failed")
    """What is told."""
