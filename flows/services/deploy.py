"""Settings and a time zone enter; work pool, limits and the deployments of deployments/prefect.yaml leave, on the server."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from data_contracts.retrain import RetrainSettings
from flows.services.layout import POOL, Services, environment
from flows.services.supervision import ServiceError

TEMPLATE = Path(__file__).resolve().parent.parent.parent / "deployments" / "prefect.yaml"
QUEUE = "one-at-a-time"


def deploy(services: Services, settings: RetrainSettings, timezone: str) -> None:
    """Make the pool and the limits and deploy the flows; what is there already is brought up to date."""
    make_pool_and_limits()
    path = services.folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(filled(yaml.safe_load(TEMPLATE.read_text()), settings, timezone), sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)],
        env=environment(services) | {"PWD": str(Path.cwd()), "COLUMNS": "400"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ServiceError(f"the flows could not be deployed: {' '.join((done.stdout + done.stderr).split())[-800:]}")


def filled(template: dict[str, Any], settings: RetrainSettings, timezone: str) -> dict[str, Any]:
    """The template with the user's settings in every deployment and the user's zone in every cron."""
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    shared = {"home": settings.home} | ({"promote": chosen["promote"]} if "promote" in chosen else {})
    deployments = []
    for one in template["deployments"]:
        own = chosen if one["name"] == "retrain" else {}
        schedules = [{"timezone": timezone} | schedule for schedule in one.get("schedules", [])]
        parameters = {"settings": one["parameters"]["settings"] | shared | own}
        deployments.append(one | {"parameters": parameters} | ({"schedules": schedules} if schedules else {}))
    return template | {"deployments": deployments}


def make_pool_and_limits() -> None:
    """Work pool, its queue for what needs the whole machine, and the limit on promotions."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import (
        GlobalConcurrencyLimitCreate,
        GlobalConcurrencyLimitUpdate,
        WorkPoolCreate,
    )
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    from tasks.concurrency import PROMOTION_LIMIT

    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_queue(QUEUE, concurrency_limit=1, work_pool_name=POOL)
        try:
            client.read_global_concurrency_limit_by_name(PROMOTION_LIMIT)
            client.update_global_concurrency_limit(PROMOTION_LIMIT, GlobalConcurrencyLimitUpdate(limit=1, active=True))
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=PROMOTION_LIMIT, limit=1))


def local_timezone() -> str:
    """IANA name of the machine's zone."""
    import tzlocal

    return tzlocal.get_localzone_name() or "UTC"
