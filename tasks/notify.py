"""An occasion and what to say of it enter, a message through the user's Prefect notification block leaves.

The block (webhook, Slack, Teams, mail, ...) is made once in Prefect's UI or with `prefect block`; the setting names it.
"""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from prefect.blocks.notifications import NotificationBlock
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging import get_logger

from data_contracts.errors import SettingsError
from data_contracts.notify import NotifySettings, Occasion
from data_contracts.retrain import Outcome, RetrainSettings

LONGEST_BODY = 3000


def block_of(settings: NotifySettings) -> NotificationBlock | None:
    """The block; None when nobody is told. Raises SettingsError for one that is not there or sends nothing."""
    if not settings.block:
        return None
    try:
        block = Block.load(settings.block, _sync=True)
    except ValueError as error:
        raise SettingsError(
            f"notify.block: there is no Prefect block '{settings.block}'; make it in Prefect's UI under Blocks, or correct "
            "the name (type/name, as custom-webhook/team)"
        ) from error
    if not hasattr(block, "notify"):
        raise SettingsError(
            f"notify.block: '{settings.block}' sends no notifications; name one that does, as slack-webhook/team"
        )
    return block


def tell(settings: NotifySettings, occasion: Occasion, subject: str, body: str) -> bool:
    """Send it if the occasion is one that is told; a message that cannot be sent is a line in the log. True if sent."""
    if occasion not in settings.occasions:
        return False
    try:
        block = block_of(settings)
        if block is None:
            return False
        block.notify(body[:LONGEST_BODY], subject, _sync=True)
        return True
    except Exception as error:  # whatever the other side does: the run is not about this message
        get_logger("omnirefit").warning("%s was not told: %s", settings.block, error)
        return False


def tell_outcome(_flow: Any, run: FlowRun, state: State) -> None:
    """Flow hook, of completion, failure and crash: what came out of a run."""
    settings = _settings(run)
    if settings is None or not settings.notify.block:
        return
    outcome = state.result(raise_on_failure=False) if state.is_completed() else None
    if isinstance(outcome, Outcome):
        facts = outcome.promotion.facts
        occasion: Occasion = "promoted" if facts["promoted"] else "not promoted"
        reasons = outcome.verdict.facts["reasons"]
        body = "\n".join([f"{facts['registered_model']}: {facts['reason']}", *reasons, *_where(run)])
        tell(settings.notify, occasion, f"{settings.title}: {outcome.verdict.facts['decision']}", body)
    else:
        said = "\n".join([state.message or "no message", *_where(run)])
        tell(settings.notify, "failed", f"{settings.title}: {state.name}", said)


def _settings(run: FlowRun) -> RetrainSettings | None:
    """The run's settings; None when they were never valid, as then they name no block that could be trusted."""
    try:
        return RetrainSettings.model_validate(run.parameters["settings"])
    except (KeyError, TypeError, ValueError):
        return None


def _where(run: FlowRun) -> list[str]:
    from prefect.utilities.urls import url_for

    url = url_for(run)
    return [url] if url else []
