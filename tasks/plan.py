"""Settings enter, the Plan against the current champion leaves; the flow logs it before its first stage."""

from __future__ import annotations

from typing import Any

from data_contracts.errors import ArtifactError
from data_contracts.plan import Plan
from data_contracts.retrain import RetrainSettings
from omni_core.plan import Champion, make_plan, read_champion
from omni_core.plan_refusals import checked_facts
from tasks.home import local_folder, store_of
from tasks.registry_look import RegistryError, champion_of

PLAN_FILE = "plan.json"
_announced: dict[str, Plan] = {}
"""Flow run -> what it planned, for its report."""


def plan_of(settings: RetrainSettings) -> Plan:
    """Preflight, then the plan. Raises an OmniError for what cannot work; a champion out of reach is a sentence in it."""
    facts = checked_facts(settings, local_folder(settings.home))
    return make_plan(settings, facts, *_champion(settings))


def _champion(settings: RetrainSettings) -> tuple[Champion | None, str]:
    promote = settings.promote
    try:
        found = champion_of(settings.home, promote.registered_model, promote.alias)
        if found is None:
            return None, ""
        return read_champion(*found, store_of(settings.home)), ""
    except (ArtifactError, RegistryError) as error:
        return None, f"the champion cannot be compared, all counts as new: {error}"


def announce(settings: RetrainSettings) -> Plan:
    """The flow's first line: make the plan, log it to the flow run and keep it for the MLflow run, should one be opened."""
    from prefect import get_run_logger

    from tasks import tracking
    from tasks.notify import block_of
    from tasks.progress import say
    from tasks.stage import flow_run

    block_of(settings.notify)  # a misspelt name is said now, and not when nobody hears it
    plan = plan_of(settings)
    logger: Any = get_run_logger()
    say(said(plan))
    logger.info(said(plan))
    for row in plan.rows:
        logger.info("plan: %s | changed: %s | retrain: %s", row.part, row.changed, row.retrain)
    if around := flow_run(settings.home):
        _announced[around.id] = plan
        tracking.keep_for_run(around, PLAN_FILE, plan.model_dump())
    return plan


def said(plan: Plan) -> str:
    """The plan in a line: against whom, what runs, and how long the training takes."""
    seconds = sum(estimate.seconds for estimate in plan.estimates if estimate.stage in plan.stages_to_run)
    training = f"; training about {seconds / 60:.1f} min" if seconds >= 60 else ""
    return f"plan: {plan.champion}; to run: {', '.join(plan.stages_to_run) or 'nothing'}{training}"


def announced(flow_run_id: str) -> Plan | None:
    """What a flow run of this process planned at its start."""
    return _announced.get(flow_run_id)
