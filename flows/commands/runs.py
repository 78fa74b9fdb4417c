"""Commands that make models: `run`, `demo`, `check`, and `weights` before them."""

from __future__ import annotations

import argparse
import importlib
import os
import threading
import time
from typing import TYPE_CHECKING

from flows.commands import add_home, add_set

if TYPE_CHECKING:
    from data_contracts.retrain import RetrainSettings
    from flows.summary import Journey

DEMO = ("quickstart", "quickstart_swap")


def add_to(commands: argparse._SubParsersAction) -> None:
    """Declare the words."""
    of_run = commands.add_parser("run", help="run the flow with a preset or a YAML file of settings")
    of_run.set_defaults(command=run)
    of_check = commands.add_parser(
        "check", help="what a run would retrain, and whether it can work: nothing is trained"
    )
    of_check.set_defaults(command=check)
    for command in (of_run, of_check):
        command.add_argument("preset", help="name in deployments/presets, or a .yaml file")
        add_set(command)

    of_demo = commands.add_parser("demo", help=f"run the presets {' and '.join(DEMO)}")
    add_set(of_demo, "override one setting in both")
    of_demo.set_defaults(command=demo)

    of_weights = commands.add_parser("weights", help="fetch the bundled weights, checked by sha256")
    add_home(of_weights)
    of_weights.set_defaults(command=weights)


def run(arguments: argparse.Namespace) -> None:
    """Run one preset or file of settings."""
    _journeys([arguments.preset], tuple(arguments.set))


def check(arguments: argparse.Namespace) -> None:
    """Print the plan, run nothing."""
    from rich.console import Console

    from flows.plan_tables import show_plan
    from flows.presets import load_settings
    from tasks.plan import plan_of

    show_plan(Console(), plan_of(load_settings(arguments.preset, tuple(arguments.set))))


def demo(arguments: argparse.Namespace) -> None:
    """The main job twice: a preset, then the same with one component swapped."""
    _journeys(list(DEMO), tuple(arguments.set))


def weights(arguments: argparse.Namespace) -> None:
    """Fetch what the index has."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # one bar for the whole, not one a tensor
    from omni_core.bundled_weights import fetchable, install
    from tasks.home import local_folder
    from tasks.progress import shown

    home = local_folder(arguments.home)
    with shown("weights") as progress:
        written = install(home, progress=progress)
    print(f"weights in {home / 'weights'}: {', '.join(fetchable())} ({len(written)} fetched now)")


def _journeys(presets: list[str], overrides: tuple[str, ...]) -> None:
    """Validate all, then run all; what cannot run stops before anything is written."""
    from flows.environment import prepare
    from flows.presets import load_settings
    from omni_core.plan_refusals import checked_facts
    from tasks.home import local_folder
    from tasks.progress import say

    all_settings = [load_settings(preset, overrides) for preset in presets]
    for settings in all_settings:
        checked_facts(settings, local_folder(settings.home))
    say(f"{' and '.join(settings.title for settings in all_settings)}: the settings fit the components")
    prepare(local_folder(all_settings[0].home))
    # while Prefect's server starts in a process of its own: MLflow's import takes seconds
    threading.Thread(target=importlib.import_module, args=("mlflow",), daemon=True).start()
    _wait_for_prefect()

    from rich.console import Console

    from flows import summary

    console = Console()
    journeys = []
    for settings in all_settings:
        journeys.append(_journey(settings))
        summary.show(console, journeys[-1])
    console.print(summary.score_table(journeys))
    summary.show_ui_commands(console, local_folder(all_settings[0].home))


def _wait_for_prefect() -> None:
    """Start the local server before the flow would, so that a person sees what is waited for."""
    from tasks.progress import shown

    if url := os.environ.get("PREFECT_API_URL"):
        what = f"asking the server {url}"
    else:
        what = "starting a local server, 10 to 30 s"
    with shown("Prefect") as progress:
        progress(0, 1, what)
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True):
            pass


def _journey(settings: RetrainSettings) -> Journey:
    from flows.retrain import retrain
    from flows.summary import Journey, publish
    from tasks.home import local_folder, store_of
    from tasks.stage import latest_journal

    start = time.monotonic()
    outcome = retrain(settings)
    store, home = store_of(settings.home), local_folder(settings.home)
    page = publish(store.folder(outcome.report), store.folder(outcome.evaluation) / "clips", home, settings.title)
    return Journey(settings.title, outcome, latest_journal(), time.monotonic() - start, page)
