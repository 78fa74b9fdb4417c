"""deployments/prefect.yaml against the code that it names."""

import pytest
import yaml

from data_contracts.retrain import RetrainSettings
from flows.services.deploy import TEMPLATE, filled
from flows.services.watch import EVENT, RESOURCE

DEPLOYMENTS = yaml.safe_load(TEMPLATE.read_text())["deployments"]
MINE = RetrainSettings(
    title="mine",
    home="/data/home",
    ingest={"sources": ("a", "b")},
    promote={"registered_model": "ours", "approval": True},
)


def named(name: str, deployments=DEPLOYMENTS) -> dict:
    return next(one for one in deployments if one["name"] == name)


@pytest.mark.parametrize("one", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployment_names_a_flow_that_takes_its_parameters(one):
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(one["entrypoint"])
    for parameters in (
        one["parameters"],
        named(one["name"], filled({"deployments": DEPLOYMENTS}, MINE, "UTC")["deployments"])["parameters"],
    ):
        assert flow.validate_parameters(parameters)["settings"]


def test_what_needs_the_whole_machine_waits_for_its_turn_and_a_rollback_does_not():
    waits = {one["name"] for one in DEPLOYMENTS if one["work_pool"].get("work_queue_name") == "one-at-a-time"}
    assert waits == {"retrain", "benchmark", "compare"}


def test_the_night_is_the_user_s_and_his_settings_are_in_every_deployment():
    deployments = filled({"deployments": DEPLOYMENTS}, MINE, "Europe/Berlin")["deployments"]
    retrain = named("retrain", deployments)
    assert retrain["schedules"] == [
        {"timezone": "Europe/Berlin", "slug": "nightly", "cron": "0 2 * * *", "active": True}
    ]
    assert retrain["parameters"]["settings"] == {
        "title": "mine", "home": "/data/home", "ingest": {"sources": ["a", "b"]},
        "promote": {"registered_model": "ours", "approval": True},
    }  # fmt: skip
    rollback = named("rollback", deployments)["parameters"]["settings"]
    assert rollback == {"home": "/data/home", "promote": {"registered_model": "ours", "approval": True}}


def test_the_automation_listens_to_what_the_watcher_says():
    (trigger,) = named("retrain")["triggers"]
    assert trigger["expect"] == [EVENT] and trigger["match"]["prefect.resource.id"] == f"{RESOURCE}*"
