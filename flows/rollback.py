"""A registered model enters, the champion before is champion again: `omni rollback` as a deployment."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run

from data_contracts.every_day import RollbackSettings
from data_contracts.promote import HistoryEntry
from tasks.champion import roll_back
from tasks.concurrency import one_at_a_time


@flow(name="rollback", persist_result=False, flow_run_name="{settings.promote.registered_model}")
def rollback(settings: RollbackSettings) -> HistoryEntry:
    """One promotion back, or to a version that was champion."""
    with one_at_a_time():
        return roll_back(settings.home, settings.promote, settings.to, f"by flow run {flow_run.id}")
