"""A machine as it runs every day: `omni up`, a run clicked together in the form, an approval in the UI, a scheduled run,
new data, `omni down`. Real servers on free loopback ports, a real worker, real flow runs of tiny settings; in this order.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.services import layout, supervision
from tests.flows import tiny

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S, EVERY_S = 600, 0.3
pytestmark = pytest.mark.timeout(2400)


@dataclass(frozen=True)
class House:
    """The services of one home, as a test talks to them."""

    services: layout.Services
    environment: dict[str, str]
    source: Path

    def omni(self, *words: str, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "flows.cli", *words], cwd=tiny.REPOSITORY, env=self.environment,
                              capture_output=True, text=True, timeout=PATIENCE_S)  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ask(self, question: Callable):
        """What a client of the Prefect server answers."""
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with (
            temporary_settings({PREFECT_API_URL: f"{self.services.prefect_url}/api"}),
            get_client(sync_client=True) as client,
        ):
            return question(client)

    def runs(self, *states: str) -> list:
        """Runs of retrain, the oldest first; of these states, or of all."""
        found = self.ask(lambda client: client.read_flow_runs())
        wanted = [run for run in found if not states or run.state.name in states]
        return sorted(wanted, key=lambda run: run.created)

    def until(self, what: Callable):
        """The first answer that is not empty; looks are counted, as a clock runs on while a busy machine holds us."""
        for _ in range(int(PATIENCE_S / EVERY_S)):
            if found := what():
                return found
            time.sleep(EVERY_S)
        raise AssertionError((self.services.folder / "worker.log").read_text()[-4000:])

    def ended(self, run_id, state: str):
        """The run, once it is in the state; a run that ends in another one is shown with its log."""

        def look():
            run = self.ask(lambda client: client.read_flow_run(run_id))
            if run.state.name != state and (run.state.is_final() or run.state.is_paused()):
                raise AssertionError(f"{run.state}\n{(self.services.folder / 'worker.log').read_text()[-4000:]}")
            return run if run.state.name == state else None

        return self.until(look)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("day")
    settings = tiny.settings(folder)
    (folder / "mine.yaml").write_text(settings.model_dump_json(exclude_defaults=True))
    # what an earlier test of this process has set is not for these processes; the worker is asked to be quick
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": f"{tiny.REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
                    "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200"}  # fmt: skip
    services = layout.Services(settings.home, free_port(), free_port(), watch_every_s=1.0)
    made = House(services, environment, folder / "source")
    try:
        made.omni("up", str(folder / "mine.yaml"), "--prefect-port", str(services.prefect_port), "--mlflow-port",
                  str(services.mlflow_port), "--watch-every", "1", "--timezone", "Asia/Kathmandu")  # fmt: skip
        yield made
    finally:
        made.omni("down", "--home", settings.home)


@pytest.fixture(scope="module")
def page(house):
    """A tab of headless Chromium, on the deployments."""
    if not CHROMIUM and "CI" not in os.environ:
        pytest.skip("Chromium is not installed, so nothing can be clicked in it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root has no sandbox
        tab = browser.new_page(viewport={"width": 1400, "height": 1200})
        tab.set_default_timeout(PATIENCE_S * 1000)
        yield tab
        browser.close()


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
    field(page, "Title (Optional)").locator("textarea").fill("clicked")
    field(page, "Approval (Optional)").get_by_role("switch").click()
    page.get_by_role("button", name="Submit", exact=True).click()
    (run,) = house.until(lambda: [run for run in house.runs() if not run.auto_scheduled])
    chosen = run.parameters["settings"]
    assert chosen["title"] == "clicked" and chosen["promote"]["approval"] is True
    assert chosen["components"]["codec"]["codebook_size"] == 16, "the rest is as it was deployed"
    run = house.ended(run.id, "Suspended")
    assert "waits for approval" in house.omni("status", "--home", house.services.home)


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
    form.get_by_role("button", name="Submit", exact=True).click()
    house.ended(run.id, "Completed")
    history = " ".join(house.omni("history", "--home", house.services.home).split())
    assert "champion: version 1" in history and "approved by Ada" in history


def test_the_run_shows_its_verdict_its_latency_its_progress_and_where_the_report_is(house):
    (run,) = house.runs("Completed")
    shown = {one.key: one for one in house.ask(lambda client: client.read_artifacts()) if one.flow_run_id == run.id}
    assert {"verdict", "latency", "report", "mlflow-run", "train-speak"} <= set(shown)
    assert house.services.mlflow_url in shown["report"].data and "report.html" in shown["report"].data


@pytest.mark.skipif(
    "OMNI_E2E" not in os.environ,
    reason="waited for ever in a clean clone on 2026-11-23, not yet understood; OMNI_E2E=1 runs it",
)
def test_a_scheduled_run_runs_and_takes_what_is_known_from_the_cache(house):
    from datetime import UTC, datetime, timedelta

    from prefect.client.schemas.schedules import IntervalSchedule

    soon = IntervalSchedule(interval=timedelta(hours=6), anchor_date=datetime.now(UTC) + timedelta(seconds=8))

    def schedule(client):
        deployment = client.read_deployment_by_name("retrain/retrain")
        client.create_deployment_schedules(deployment.id, [(soon, True)])

    house.ask(schedule)
    (run,) = house.until(lambda: [run for run in house.runs() if run.auto_scheduled and not run.state.is_scheduled()])
    house.ended(run.id, "Completed")
    assert house.omni("history", "--home", house.services.home).count("promote") == 1


@pytest.mark.skipif(
    "OMNI_E2E" not in os.environ,
    reason="waited for ever in a clean clone on 2026-11-23, not yet understood; OMNI_E2E=1 runs it",
)
def test_new_data_starts_a_run_and_down_leaves_nothing_of_it(house):
    before = {run.id for run in house.runs()}
    tiny.write_source(house.source, tiny.turns(count=21))
    started = house.until(
        lambda: [run for run in house.runs("Pending", "Running") if run.id not in before and not run.auto_scheduled]
    )
    assert started[0].created_by.type == "AUTOMATION"
    house.until(lambda: house.runs("Running"))
    assert len(supervision.marked(house.services)) > 4
    assert "stopped" in house.omni("down", "--home", house.services.home)
    assert supervision.marked(house.services) == []
    assert "nothing runs" in house.omni("status", "--home", house.services.home, code=1)
    for name in ("prefect", "mlflow"):
        supervision.check_port(name, house.services.prefect_port if name == "prefect" else house.services.mlflow_port)
