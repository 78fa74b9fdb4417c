"""Words of `omni up`, `omni status` and `omni down` enter; servers, worker and watcher of one home start, are told, stop."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from data_contracts.errors import SettingsError
from data_contracts.retrain import RetrainSettings
from flows.services import layout, supervision
from flows.services.layout import HELPERS, MARK, SERVERS, Services
from tasks.home import local_folder


def up(console: Console, settings: RetrainSettings, wanted: Services, timezone: str) -> None:
    """Start what does not run yet, deploy the flows, and say where to look. If a part fails nothing is left running."""
    from flows.services.deploy import deploy

    there = layout.read(wanted.home)
    runs = there is not None and supervision.supervisor(there) is not None
    if runs and there != wanted:
        raise SettingsError(
            f"the services of {wanted.home} run already, with other ports or landings; `omni down` stops them"
        )
    try:
        if not runs:
            layout.write(wanted)
            supervision.sweep(wanted)  # of a supervisor that was killed
            console.print("starting the Prefect and the MLflow server", highlight=False)
            supervision.start(wanted)
        for name in SERVERS:
            supervision.start_service(wanted, name)
        supervision.wait_until_well(wanted)
        os.environ.update({name: value for name, value in layout.environment(wanted).items() if name != MARK})
        console.print("deploying the flows", highlight=False)
        deploy(wanted, settings, timezone)
        for name in HELPERS:
            supervision.start_service(wanted, name)
        supervision.wait_until_well(wanted, HELPERS)
    except BaseException:
        if not runs:
            supervision.stop(wanted)
        raise
    status(console, wanted.home)


def status(console: Console, home: str) -> int:
    """What runs, where, how well, and what comes next; 0 when all is well, 1 otherwise."""
    services = layout.read(home)
    asked = supervision.supervisor(services) if services else None
    if services is None or asked is None:
        left = supervision.marked(services) if services else []
        said = f"; {len(left)} processes of it still live, `omni down` ends them" if left else ""
        console.print(f"nothing runs for {local_folder(home)}{said}; `omni up` starts it", highlight=False)
        return 1
    rows = [service_row(services, info) for info in asked.getAllProcessInfo()]
    table = Table("service", "state", "pid", "since", "health", "address", title=f"services of {local_folder(home)}")
    for row in sorted(rows, key=lambda row: (*SERVERS, *HELPERS).index(row.name)):
        table.add_row(
            row.name, row.state, row.pid, row.since, "well" if row.is_well else "[red]not well[/red]", row.url
        )
    console.print(table)
    if all(row.is_well for row in rows if row.name == "prefect"):
        show_runs(console, services)
    console.print(f"logs: {services.folder}/<service>.log", highlight=False, soft_wrap=True)
    return 0 if all(row.is_well for row in rows) else 1


def down(console: Console, home: str) -> int:
    """Stop everything, and see that nothing is left."""
    services = layout.read(home)
    if services is None:
        console.print(f"nothing runs for {local_folder(home)}", highlight=False)
        return 0
    console.print("stopping; flow runs at work end as Crashed, their finished stages are kept", highlight=False)
    ended = supervision.stop(services)
    left = supervision.marked(services)
    if left:
        raise supervision.ServiceError(f"these processes do not end: {', '.join(str(process.pid) for process in left)}")
    more = f" ({len(ended)} processes had to be ended one by one)" if ended else ""
    console.print(f"stopped{more}", highlight=False)
    return 0


@dataclass(frozen=True)
class Row:
    """One service, for the table."""

    name: str
    state: str
    pid: str
    since: str
    is_well: bool
    url: str


def service_row(services: Services, info: dict[str, Any]) -> Row:
    """What supervisord says of a service, and whether it answers."""
    name, runs = info["name"], info["statename"] == "RUNNING"
    since = str(timedelta(seconds=int(time.time() - info["start"]))) if runs else ""
    return Row(name, info["statename"].lower(), str(info["pid"] or ""), since,
               runs and supervision.is_well(services, name), services.url_of(name))  # fmt: skip


def show_runs(console: Console, services: Services) -> None:
    """Runs at work or waiting for a person, and the next one of each deployment."""
    os.environ["PREFECT_API_URL"] = f"{services.prefect_url}/api"
    table = Table("run", "deployment", "state", "when", title="flow runs")
    for row in run_rows(datetime.now().astimezone()):
        table.add_row(*row)
    console.print(table)


def run_rows(now: datetime) -> list[tuple[str, str, str, str]]:
    """(run, deployment, state, when) of what is at work, waits or comes next, the nearest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    kinds = [StateType.RUNNING, StateType.PENDING, StateType.PAUSED, StateType.SCHEDULED]
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds)))
    with get_client(sync_client=True) as client:
        names = {one.id: one.name for one in client.read_deployments()}
        runs = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)
    rows, planned = [], set()
    for run in runs:
        if run.state.is_scheduled() and run.deployment_id in planned:
            continue
        if run.state.is_scheduled():
            planned.add(run.deployment_id)
        at = (run.start_time or run.expected_start_time or datetime.now(UTC)).astimezone(now.tzinfo)
        said = "waits for approval, in the UI" if run.state.is_paused() else run.state.name.lower()
        name = "" if run.state.is_scheduled() else run.name  # it gets its own when it starts
        rows.append((name, names.get(run.deployment_id, "omni run"), said, f"{at:%a %Y-%m-%d %H:%M %Z}"))
    return rows
