"""A machine as it runs every day: `omni up`, a run clicked together in the form, an approval in the UI, a scheduled run,
new data, `omni down`. Real servers on free loopback ports, a real worker, real flow runs of tiny settings; in this order.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from flows.services import layout, supervision
from tests.chromium import chromium
from tests.flows import tiny
from tests.webhook import receiver

PATIENCE_S, EVERY_S = 60, 0.3
"""How long nothing may happen: no run, no line of the worker."""
BLOCK = "custom-webhook/team"
pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True)
class House:
    """The services of one home, as a test talks to them."""

    services: layout.Services
    environment: dict[str, str]
    source: Path
    bucket: Path
    """What lands here is copied into the source."""
    messages: list[dict[str, str]]
    """What the webhook was told."""

    def omni(self, *words: str, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "flows.cli", *words], cwd=tiny.REPOSITORY, env=self.environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ask(self, question: Callable):
        """What a client of the Prefect server answers."""
        from prefect.client.orchestration import get_client

        with self.server(), get_client(sync_client=True) as client:
            return question(client)

    def server(self):
        """Within it Prefect's own functions talk to the server of this home."""
        from prefect.settings import PREFECT_API_URL, temporary_settings

        return temporary_settings({PREFECT_API_URL: f"{self.services.prefect_url}/api"})

    def runs(self, *states: str) -> list:
        """Runs of retrain, the oldest first; of these states, or of all."""
        found = self.ask(lambda client: client.read_flow_runs())
        wanted = [run for run in found if not states or run.state.name in states]
        return sorted(wanted, key=lambda run: run.created)

    def until(self, what: Callable):
        """The first answer that is not empty; raised when for PATIENCE_S nothing happened.

        Looks are counted, as a clock runs on while a busy machine holds us.
        """
        log, told, quiet = self.services.folder / "worker.log", -1, 0
        while quiet < PATIENCE_S / EVERY_S:
            if found := what():
                return found
            time.sleep(EVERY_S)
            size = log.stat().st_size
            told, quiet = size, quiet + 1 if size == told else 0
        states = ", ".join(f"{run.name}: {run.state.name}" for run in self.runs() if not run.state.is_scheduled())
        raise AssertionError(f"nothing happens; runs: {states or 'none'}\n{log.read_text()[-4000:]}")

    def ended(self, run_id, state: str):
        """The run, once it is in the state; a run that ends in another one is shown with its log."""

        def look():
            run = self.ask(lambda client: client.read_flow_run(run_id))
            if run.state.name != state and (run.state.is_final() or run.state.is_paused()):
                raise AssertionError(f"{run.state}\n{(self.services.folder / 'worker.log').read_text()[-4000:]}")
            return run if run.state.name == state else None

        return self.until(look)

    def completed(self):
        """The first run that was completed; started here when there is no Chromium to click one together in."""
        if done := self.runs("Completed"):
            return done[0]
        retrain = self.ask(lambda client: client.read_deployment_by_name("retrain/retrain").id)
        started = self.ask(lambda client: client.create_flow_run_from_deployment(retrain))
        return self.ended(started.id, "Completed")


def shown_by(house, run) -> dict:
    """Key -> artifact of a run."""
    of_run = [one for one in house.ask(lambda client: client.read_artifacts()) if one.flow_run_id == run.id]
    kinds = {one.key: {other.type for other in of_run if other.key == one.key} for one in of_run}
    assert all(len(types) == 1 for types in kinds.values()), kinds
    return {one.key: one for one in of_run}


def page_behind(house, link: str) -> str:
    """The file that MLflow's page of a run shows, as its UI fetches it."""
    run_id, path = re.search(r"/runs/(\w+)/artifacts/([\w./]+)", link).groups()
    asked = urlencode({"run_uuid": run_id, "path": path})
    with urllib.request.urlopen(f"{house.services.mlflow_url}/get-artifact?{asked}", timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def webhook():
    """(port, messages) of a receiver on this machine."""
    with receiver() as made:
        yield made


@pytest.fixture(scope="module")
def house(tmp_path_factory, webhook):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    folder = tmp_path_factory.mktemp("day")
    settings = tiny.settings(folder)
    (folder / "mine.yaml").write_text(settings.model_dump_json(exclude_defaults=True))
    # what an earlier test of this process has set is not for these processes; the worker and the scheduler are asked to
    # be quick, and not to plan a hundred nights
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": f"{tiny.REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "COLUMNS": "200",
                    "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
                    "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "10"}  # fmt: skip
    services = layout.Services(settings.home, free_port(), free_port(), watch_every_s=1.0)
    port, messages = webhook
    made = House(services, environment, folder / "source", folder / "bucket", messages)
    made.bucket.mkdir()
    try:
        made.omni("up", str(folder / "mine.yaml"), "--prefect-port", str(services.prefect_port), "--mlflow-port",
                  str(services.mlflow_port), "--watch-every", "1", "--timezone", "Asia/Kathmandu",
                  "--landing", f"{made.bucket.as_uri()}={made.source}")  # fmt: skip
        with made.server():
            CustomWebhookNotificationBlock(
                name="team", url=f"http://127.0.0.1:{port}/", json_data={"subject": "{{subject}}", "text": "{{body}}"}
            ).save("team", _sync=True)
        yield made
    finally:
        made.omni("down", "--home", settings.home)


@pytest.fixture(scope="module")
def page(house):
    """A tab of headless Chromium, on the deployments."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root has no sandbox
        tab = browser.new_page(viewport={"width": 1400, "height": 1200})
        tab.set_default_timeout(PATIENCE_S * 1000)
        yield tab
        browser.close()


def submit(page, path: str, within=None) -> None:
    """Press Submit; what the form, or the server behind it, has against that is the failure."""
    from playwright.sync_api import TimeoutError as NoAnswer

    checked = []
    page.on("response", lambda answer: checked.append(answer) if answer.url.endswith("/schemas/validate") else None)
    try:
        with page.expect_response(lambda answer: answer.url.endswith(path)) as answer:
            (within or page).get_by_role("button", name="Submit", exact=True).click()
    except NoAnswer:
        said = [one.text()[:1000] for one in checked] + page.locator("[class*=toast], [class*=error]").all_inner_texts()
        raise AssertionError(f"the form was not sent: {' | '.join(said) or 'it says nothing'}") from None
    assert answer.value.ok, f"{answer.value.status} {answer.value.text()}"


def field(page, label: str, within=None):
    """The innermost group of Prefect's form with this label."""
    return (within or page).locator("div.schema-form-property", has=page.get_by_text(label, exact=True)).last


def test_up_twice_is_up_once_and_status_tells_what_runs_and_what_comes_next(house):
    first = house.omni("status", "--home", house.services.home)
    assert all(name in first for name in ("prefect", "mlflow", "worker", "watcher")) and "not well" not in first
    assert house.services.prefect_url in first and house.services.mlflow_url in first
    said = house.until(
        lambda: re.search(r"retrain .* scheduled .*", house.omni("status", "--home", house.services.home))
    )
    runs = house.runs("Scheduled")
    assert {f"{run.expected_start_time:%H:%M}" for run in runs} == {"20:15"}, said  # 2:00 at UTC+5:45
    refused = subprocess.run([sys.executable, "-m", "flows.cli", "up", str(house.source.parent / "mine.yaml")],
                             cwd=tiny.REPOSITORY, env=house.environment, capture_output=True, text=True)  # fmt: skip
    assert refused.returncode == 2 and "run already, with other ports" in refused.stderr


def test_a_run_clicked_together_in_the_form_waits_for_its_approval(house, page):
    from playwright.sync_api import expect

    page.goto(f"{house.services.prefect_url}/deployments")
    page.get_by_role("link", name="retrain", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_text("Custom run").click()
    help_of_sources = (
        "Folders, each in a format of omni_core/source_formats/ (metadata.csv: columns in examples/README.md)."
    )
    expect(page.get_by_text(help_of_sources)).to_be_visible()
    field(page, "Block (Optional)").locator("textarea").fill(BLOCK)
    field(page, "Approval (Optional)").get_by_role("switch").click()
    submit(page, "/create_flow_run")
    (run,) = house.until(lambda: [run for run in house.runs() if not run.auto_scheduled])
    page.goto("about:blank")  # the run's page draws its time line all the while, on the cores that the run needs
    chosen = run.parameters["settings"]
    assert chosen["notify"]["block"] == BLOCK and chosen["promote"]["approval"] is True
    assert chosen["components"]["codec"]["codebook_size"] == 16, "the rest is as it was deployed"
    run = house.ended(run.id, "Suspended")
    assert "waits for approval" in house.omni("status", "--home", house.services.home)
    (message,) = house.messages
    assert message["subject"] == "tiny: approval wanted" and str(run.id) in message["text"]


def test_an_approval_given_in_the_ui_promotes_and_is_in_the_history(house, page):
    (run,) = house.runs("Suspended")
    page.goto(f"{house.services.prefect_url}/runs/flow-run/{run.id}")
    page.get_by_role("button", name="Resume", exact=True).click()
    form = page.get_by_role("dialog").last
    field(page, "Decision", form).locator(
        ".p-select-button__icon"
    ).click()  # Prefect 3.8.8: beside its arrow it does not open
    page.locator(".p-select-option", has_text="promote").first.click()
    field(page, "By (Optional)", form).locator("textarea").fill("Ada")
    submit(page, "/resume", form)
    house.until(lambda: not house.runs("Suspended"))
    page.goto("about:blank")
    house.ended(run.id, "Completed")
    history = " ".join(house.omni("history", "--home", house.services.home).split())
    assert "champion: version 1" in history and "approved by Ada" in history
    message, *more = house.until(lambda: house.messages[1:])
    assert not more, "approval is asked for once"
    assert message["subject"] == "tiny: PROMOTE" and "approved by Ada" in message["text"]


def test_the_run_shows_its_verdict_its_latency_its_progress_and_where_the_report_is(house):
    run = house.completed()
    shown = shown_by(house, run)
    assert {"verdict", "latency", "report", "mlflow-run", "progress-train-speak"} <= set(shown)
    assert run.parameters["settings"]["title"] in page_behind(house, shown["report"].data)


def test_a_scheduled_run_runs_and_takes_what_is_known_from_the_cache(house):
    from datetime import timedelta

    from prefect.client.schemas.schedules import IntervalSchedule

    # again and again, as a busy server lets the first of them pass before it has planned any
    soon = IntervalSchedule(interval=timedelta(seconds=10))
    retrain = house.ask(lambda client: client.read_deployment_by_name("retrain/retrain").id)
    (made,) = house.ask(lambda client: client.create_deployment_schedules(retrain, [(soon, True)]))
    run, *_ = house.until(lambda: [run for run in house.runs() if run.auto_scheduled and not run.state.is_scheduled()])
    house.ask(lambda client: client.delete_deployment_schedule(retrain, made.id))
    house.ended(run.id, "Completed")
    assert house.omni("history", "--home", house.services.home).count("promote") == 1
    assert "</html>" in page_behind(house, shown_by(house, run)["report"].data), (
        "nothing is new: the page is a run's before"
    )


def test_new_data_in_a_bucket_starts_a_run_and_down_leaves_nothing_of_it(house):
    before = {run.id for run in house.runs()}
    tiny.write_source(house.bucket, tiny.turns(count=21))
    (started,) = house.until(
        lambda: [
            run
            for run in house.runs()
            if run.created_by and run.created_by.type == "AUTOMATION" and run.id not in before
        ]
    )
    house.ended(started.id, "Running")
    assert len(supervision.marked(house.services)) > 4
    assert "stopped" in house.omni("down", "--home", house.services.home)
    assert supervision.marked(house.services) == []
    assert "nothing runs" in house.omni("status", "--home", house.services.home, code=1)
    for name in ("prefect", "mlflow"):
        supervision.check_port(name, house.services.prefect_port if name == "prefect" else house.services.mlflow_port)
