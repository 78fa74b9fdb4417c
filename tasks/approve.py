"""A model that won enters, a person's word on it leaves: the run waits until somebody looked at the report and decided.

a run of a deployment    suspended: no process waits; resumed from its page in Prefect's UI, it goes on from the cache
`omni run`, a server     paused: the process waits; resumed from the same page
`omni run`, no server    asked on the terminal; without one nothing is promoted and the sentence says how to
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Any, Literal

from prefect.context import FlowRunContext
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.compare import Verdict
from data_contracts.quantize import QuantizedModel
from data_contracts.retrain import RetrainSettings
from tasks import champion, tracking
from tasks.notify import tell

SECONDS_BETWEEN_LOOKS = 5


class Decision(RunInput):
    """The form in Prefect's UI. Nothing has a default that promotes: a run resumed without an answer fails."""

    decision: Literal["promote", "keep the champion"] = Field(
        description="What happens to the model; the arrow opens the list."
    )
    by: str = Field("", description="Your name, for the history.", max_length=100)
    note: str = Field("", description="Why, for the history.", max_length=500)


class Approval(BaseModel):
    """What was decided, and by whom."""

    model_config = ConfigDict(frozen=True)

    promote: bool
    reason: str


def approve(model: QuantizedModel, verdict: Verdict, settings: RetrainSettings) -> Approval | None:
    """Wait for a person when the settings ask for one and there is something to promote; None: nobody is asked."""
    if not settings.promote.approval or verdict.facts["decision"] != "PROMOTE":
        return None
    current = champion.current(settings.home, settings.promote)
    if current and current.model == model.digest:
        return None
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not (run.deployment_id or PREFECT_API_URL.value()):
        return asked_here(question(verdict, settings))
    within_s, key = int(settings.promote.approval_within_hours * 3600), f"approve-{verdict.digest}"
    if key not in (run.empirical_policy.pause_keys or ()):  # a run that was resumed comes by here again
        _announce(run, verdict, settings)
    wanted = Decision.with_initial_data(description=question(verdict, settings))
    if run.deployment_id:
        # MLflow's run is handed back: this process ends here, and another one goes on with it
        tracking.close_run(str(run.id), "SCHEDULED")
        return said(suspend_flow_run(wait_for_input=wanted, timeout=within_s, key=key))
    return said(pause_flow_run(wait_for_input=wanted, timeout=within_s, poll_interval=SECONDS_BETWEEN_LOOKS, key=key))


def question(verdict: Verdict, settings: RetrainSettings) -> str:
    """What the person reads: the verdict's reasons, as Markdown."""
    reasons = "\n".join(f"- {reason}" for reason in verdict.facts["reasons"])
    return f"**Promote {settings.title} to {settings.promote.registered_model}@{settings.promote.alias}?**\n\n{reasons}"


def said(decision: Decision) -> Approval:
    """The form as a word on the model."""
    promote = decision.decision == "promote"
    reason = f"{'approved' if promote else 'refused'} by {decision.by or 'somebody in the UI'}"
    return Approval(promote=promote, reason=f"{reason}: {decision.note}" if decision.note else reason)


def asked_here(text: str, ask: Callable[[str], str] = input, is_terminal: bool | None = None) -> Approval:
    """Asked on the terminal; where there is none, nobody can say yes."""
    if not (sys.stdin.isatty() if is_terminal is None else is_terminal):
        return Approval(
            promote=False,
            reason="promote.approval asks for a person, and neither a Prefect server nor a terminal can reach one; look at "
            "the report, then `omni promote RUN` with the MLflow run's id promotes it",
        )
    print(text.replace("**", ""), file=sys.stderr)
    yes = ask("promote? [y/N] ").strip().lower() in ("y", "yes")
    return Approval(promote=yes, reason=f"{'approved' if yes else 'refused'} by {getpass.getuser()} on the terminal")


def _announce(run: Any, verdict: Verdict, settings: RetrainSettings) -> None:
    from prefect.utilities.urls import url_for

    where = url_for(run) or ""
    get_run_logger().info("waiting for approval, at most %g hours", settings.promote.approval_within_hours)
    body = "\n".join([*verdict.facts["reasons"], where])
    tell(settings.notify, "approval wanted", f"{settings.title}: approval wanted", body)
