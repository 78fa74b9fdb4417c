"""Commands that keep the flows running on this machine: servers, worker, watcher (docs/every_day.md)."""

from __future__ import annotations

import argparse

from flows.commands import add_home, add_set


def add_to(commands: argparse._SubParsersAction) -> None:
    """Declare the words."""
    what = "start Prefect, MLflow, a worker and a watcher on this machine; deploy the flows"
    of_up = commands.add_parser("up", help=what)
    preset = "settings of the nightly run: preset or .yaml file (quickstart)"
    of_up.add_argument("preset", nargs="?", default="quickstart", help=preset)
    add_set(of_up)
    of_up.add_argument("--prefect-port", type=int, default=4200, help="port of Prefect's UI (4200)")
    of_up.add_argument("--mlflow-port", type=int, default=5000, help="port of MLflow's UI (5000)")
    of_up.add_argument("--timezone", default="", help="zone of the nightly run, as Europe/Berlin (this machine's)")
    looks = "between two looks for new data (10)"
    of_up.add_argument("--watch-every", type=float, default=10.0, metavar="SECONDS", help=looks)
    of_up.set_defaults(command=up)

    of_status = commands.add_parser("status", help="what runs, and when the next run is; 1 when something is not well")
    of_status.set_defaults(command=status)
    of_down = commands.add_parser("down", help="stop everything that `omni up` started")
    of_down.set_defaults(command=down)
    of_watch = commands.add_parser(
        "watch", help="tell Prefect when new data has landed in a source (`omni up` runs this)"
    )
    of_watch.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks (10)")
    of_watch.set_defaults(command=watch)
    for command in (of_up, of_watch):
        bucket = "copy a bucket into a source"
        command.add_argument("--landing", action="append", default=[], metavar="URL=FOLDER", help=bucket)

    of_ui = commands.add_parser("ui", help="how to open MLflow and Prefect")
    of_ui.set_defaults(command=ui)
    add_home(of_status, of_down, of_watch, of_ui)


def up(arguments: argparse.Namespace) -> None:
    """Start what is not running, deploy the flows."""
    from rich.console import Console

    from flows.environment import prepare
    from flows.presets import load_settings
    from flows.services.command import up
    from flows.services.deploy import local_timezone
    from flows.services.layout import Services
    from flows.services.watch import parse_landing
    from tasks.home import local_folder

    settings = load_settings(arguments.preset, tuple(arguments.set))
    home = settings.home if "://" in settings.home else str(local_folder(settings.home))
    for landing in arguments.landing:
        parse_landing(landing)
    prepare(local_folder(home))
    services = Services(
        home, arguments.prefect_port, arguments.mlflow_port, tuple(arguments.landing), arguments.watch_every
    )
    up(Console(), settings.model_copy(update={"home": home}), services, arguments.timezone or local_timezone())


def status(arguments: argparse.Namespace) -> int:
    """Print what runs; 1 when something is not well."""
    from rich.console import Console

    from flows.services.command import status

    return status(Console(), arguments.home)


def down(arguments: argparse.Namespace) -> int:
    """Stop what `up` started."""
    from rich.console import Console

    from flows.services.command import down

    return down(Console(), arguments.home)


def watch(arguments: argparse.Namespace) -> None:
    """Look for new data until it is stopped."""
    from flows.services.watch import watch

    watch(arguments.home, tuple(arguments.landing), arguments.every)


def ui(arguments: argparse.Namespace) -> None:
    """Print how to open the two user interfaces."""
    from rich.console import Console

    from flows.summary import show_ui_commands
    from tasks.home import local_folder

    show_ui_commands(Console(), local_folder(arguments.home))
