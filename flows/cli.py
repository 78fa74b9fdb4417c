"""Words of a command line enter, exit code 0 leaves, or 2 with one sentence that names the thing and the mend.

    omni run quickstart --set components.codec.patch_frames=6        omni answer question.wav        omni --help

Nothing heavy is imported before a command needs it: the help answers in a fraction of a second.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_contracts.promote import PromoteSettings
    from data_contracts.retrain import RetrainSettings
    from flows.summary import Journey

DEMO = ("quickstart", "quickstart_swap")
LENGTH_OF_A_RUN = 8
"""A number this long is the beginning of a run's id, not a version."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of `omni`."""
    arguments = parser().parse_args(argv)
    from data_contracts.errors import OmniError

    try:
        return int(arguments.command(arguments) or 0)
    except OmniError as error:
        print(f"omni: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("omni: stopped; finished stages are kept, start again to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and what they take."""
    top = argparse.ArgumentParser(prog="omni", description="Swap a component, run one flow, get a proven model.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the flow with a preset or a YAML file of settings")
    run.add_argument("preset", help="name in deployments/presets, or a .yaml file")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting, as a.b=c")
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help=f"run the presets {' and '.join(DEMO)}")
    demo.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting in both")
    demo.set_defaults(command=_demo)

    check = commands.add_parser("check", help="what a run would retrain, and whether it can work: nothing is trained")
    check.add_argument("preset", help="name in deployments/presets, or a .yaml file")
    check.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting, as a.b=c"
    )
    check.set_defaults(command=_check)

    weights = commands.add_parser("weights", help="fetch the bundled weights, checked by sha256")
    weights.set_defaults(command=_weights)

    listen = commands.add_parser("listen", help="let people compare two models by ear, on a web page")
    listen.add_argument("a", help="champion, previous, version or run; report (digest or folder); folder of recordings")
    listen.add_argument("b", help="the other one; equal turns or equal file names make a pair")
    listen.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as design=abx")
    listen.add_argument(
        "--database", help="where answers go, as postgresql+pg8000://host/name (listening.db in the home)"
    )
    listen.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1: this machine only)")
    listen.add_argument("--port", type=int, default=8765, help="port to serve on (8765; 0: any free one)")
    listen.add_argument("--results", action="store_true", help="analyse the answers instead of serving the page")
    listen.add_argument("--home", default="var", help="folder of models and databases (var)")
    listen.add_argument("--model", default="omnirefit-assistant", help="registered model (omnirefit-assistant)")
    listen.set_defaults(command=_listen)

    online = commands.add_parser("online", help="live traffic: is the challenger better by now? Ask whenever you like")
    online.add_argument("scores", type=Path, help="csv in order of arrival: columns challenger and champion, 0 to 1")
    online.add_argument("--confidence", type=float, default=0.95, help="of either answer, however often asked (0.95)")
    online.add_argument("--margin", type=float, default=0.0, help="a loss that small is not worse (0)")
    online.set_defaults(command=_online)

    answer = commands.add_parser("answer", help="let the champion answer a recorded question")
    answer.add_argument("wav", type=Path, help="the question: wav, flac or ogg")
    answer.add_argument("--out", type=Path, default=Path("answer.wav"), help="where the answer goes (answer.wav)")
    answer.add_argument("--model", default="omnirefit-assistant", help="registered model (omnirefit-assistant)")
    answer.add_argument("--alias", default="champion", help="alias in the registry (champion)")
    answer.set_defaults(command=_answer)

    for name, words in (("import", "read a released checkpoint into our format"), ("export", "write it back")):
        exchange = commands.add_parser(name, help=words)
        exchange.add_argument("format", choices=["mini-omni"], help="mini-omni (Mini-Omni and Mini-Omni2)")
        exchange.add_argument("source", type=Path, metavar="DIR", help="folder to read")
        exchange.add_argument("target", type=Path, metavar="OUT", help="folder to make")
        exchange.set_defaults(command=_import if name == "import" else _export)
        if name == "import":
            exchange.add_argument("--untied", action="store_true", help="keep lm_head where the file's differs")

    up = commands.add_parser(
        "up", help="start Prefect, MLflow, a worker and a watcher on this machine; deploy the flows"
    )
    up.add_argument(
        "preset", nargs="?", default="quickstart", help="settings of the nightly run: preset or .yaml file (quickstart)"
    )
    up.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting, as a.b=c")
    up.add_argument("--prefect-port", type=int, default=4200, help="port of Prefect's UI (4200)")
    up.add_argument("--mlflow-port", type=int, default=5000, help="port of MLflow's UI (5000)")
    up.add_argument("--timezone", default="", help="zone of the nightly run, as Europe/Berlin (this machine's)")
    up.add_argument(
        "--watch-every", type=float, default=10.0, metavar="SECONDS", help="between two looks for new data (10)"
    )
    up.set_defaults(command=_up)
    status = commands.add_parser("status", help="what runs, and when the next run is; 1 when something is not well")
    status.set_defaults(command=_status)
    down = commands.add_parser("down", help="stop everything that `omni up` started")
    down.set_defaults(command=_down)
    watch = commands.add_parser("watch", help="tell Prefect when new data has landed in a source (`omni up` runs this)")
    watch.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks (10)")
    watch.set_defaults(command=_watch)
    for command in (up, watch):
        command.add_argument(
            "--landing", action="append", default=[], metavar="URL=FOLDER", help="copy a bucket into a source"
        )

    ui = commands.add_parser("ui", help="how to open MLflow and Prefect")
    ui.set_defaults(command=_ui)
    promote = commands.add_parser("promote", help="make a proven version champion")
    promote.add_argument(
        "which", nargs="?", default="", help="version, or MLflow run (the newest that never was champion)"
    )
    promote.set_defaults(command=_promote)

    rollback = commands.add_parser("rollback", help="take the last promotion back")
    rollback.add_argument("--to", default="", metavar="VERSION", help="a version that was champion (the one before)")
    rollback.set_defaults(command=_rollback)

    history = commands.add_parser("history", help="who was champion, and why")
    history.set_defaults(command=_history)
    for command in (promote, rollback, history):
        command.add_argument("--model", default="omnirefit-assistant", help="registered model (omnirefit-assistant)")
        command.add_argument("--alias", default="champion", help="alias in the registry (champion)")
        command.add_argument("--previous-alias", default="previous", help="alias of the champion before (previous)")

    for command in (weights, answer, ui, promote, rollback, history, status, down, watch):
        command.add_argument("--home", default="var", help="folder of models and databases (var)")
    return top


def _run(arguments: argparse.Namespace) -> None:
    _journeys([arguments.preset], tuple(arguments.set))


def _check(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from flows.plan_tables import show_plan
    from flows.presets import load_settings
    from tasks.plan import plan_of

    show_plan(Console(), plan_of(load_settings(arguments.preset, tuple(arguments.set))))


def _demo(arguments: argparse.Namespace) -> None:
    _journeys(list(DEMO), tuple(arguments.set))


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


def _weights(arguments: argparse.Namespace) -> None:
    os.environ.setdefault("TQDM_DISABLE", "1")  # one bar for the whole, not one a tensor
    from omni_core.bundled_weights import fetchable, install
    from tasks.home import local_folder
    from tasks.progress import shown

    home = local_folder(arguments.home)
    with shown("weights") as progress:
        written = install(home, progress=progress)
    print(f"weights in {home / 'weights'}: {', '.join(fetchable())} ({len(written)} fetched now)")


def _listen(arguments: argparse.Namespace) -> None:
    from flows.listening_test.command import listen
    from tasks.home import local_folder

    database = arguments.database or f"sqlite:///{local_folder(arguments.home)}/listening.db"
    listen(arguments.home, arguments.a, arguments.b, tuple(arguments.set), database,
           arguments.host, arguments.port, arguments.results, arguments.model)  # fmt: skip


def _online(arguments: argparse.Namespace) -> None:
    from omni_core.online_scores import read_paired, sentence

    print(sentence(read_paired(arguments.scores), arguments.confidence, arguments.margin))


def _answer(arguments: argparse.Namespace) -> None:
    import base64

    from flows.environment import prepare
    from omni_core.audio import decode, encode_wav
    from tasks.home import local_folder

    question = base64.b64encode(encode_wav(*decode(arguments.wav))).decode()
    prepare(local_folder(arguments.home))
    from tasks.registry import load_version

    answer = load_version(arguments.home, arguments.model, f"@{arguments.alias}").predict({"audio": [question]}).iloc[0]
    if answer.get("outcome") == "nothing heard":  # versions registered before this column was have none
        print(f"no words were heard in {arguments.wav}, so there is no answer; {arguments.out} was not written")
        return
    arguments.out.write_bytes(base64.b64decode(answer["audio"]))
    print(answer["text"])


def _registry(arguments: argparse.Namespace) -> tuple[str, PromoteSettings]:
    """Home and settings of a command about the registry; nothing is made in a home that is not there."""
    from data_contracts.errors import StorageError
    from data_contracts.promote import PromoteSettings
    from flows.environment import prepare
    from tasks.home import local_folder

    home = local_folder(arguments.home)
    if not home.is_dir():
        raise StorageError(f"there is no home {home}; run the flow first, or name the right one with --home")
    prepare(home)
    aliases = {"alias": arguments.alias, "previous_alias": arguments.previous_alias}
    return arguments.home, PromoteSettings(registered_model=arguments.model, **aliases)


def _promote(arguments: argparse.Namespace) -> None:
    home, settings = _registry(arguments)
    from tasks import champion

    number = arguments.which or champion.newest_never_promoted(home, settings)
    if number.isdigit() and len(number) < LENGTH_OF_A_RUN:
        champion.promote_version(home, number, settings)
    else:
        from tasks.promote import promote_run

        number = promote_run(number, settings, home)
    print(f"version {number} of {settings.registered_model} is the {settings.alias}")


def _rollback(arguments: argparse.Namespace) -> None:
    home, settings = _registry(arguments)
    from tasks.champion import roll_back

    line = roll_back(home, settings, arguments.to)
    again = f"version {line.version} of {settings.registered_model} is the {settings.alias} again"
    print(
        again if line.version else f"{settings.registered_model} has no {settings.alias} now; the next run starts anew"
    )


def _history(arguments: argparse.Namespace) -> None:
    home, settings = _registry(arguments)
    from rich.console import Console

    from flows.summary import show_history
    from tasks import registry
    from tasks.home import local_folder

    standing = registry.standing(home, settings.registered_model, settings.alias)
    show_history(Console(), standing, local_folder(home))


def _import(arguments: argparse.Namespace) -> None:
    from omni_core.mini_omni.checkpoint import import_mini_omni

    made = import_mini_omni(arguments.source, arguments.target, tied=False if arguments.untied else None)
    print("\n".join([made.summary(), *(f"note: {note}" for note in made.notes)]))


def _export(arguments: argparse.Namespace) -> None:
    from omni_core.mini_omni.checkpoint import export_mini_omni

    made = export_mini_omni(arguments.source, arguments.target)
    print("\n".join([made.summary(), *(f"note: {note}" for note in made.notes)]))


def _up(arguments: argparse.Namespace) -> None:
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


def _status(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from flows.services.command import status

    return status(Console(), arguments.home)


def _down(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from flows.services.command import down

    return down(Console(), arguments.home)


def _watch(arguments: argparse.Namespace) -> None:
    from flows.services.watch import watch

    watch(arguments.home, tuple(arguments.landing), arguments.every)


def _ui(arguments: argparse.Namespace) -> None:
    from rich.console import Console

    from flows.summary import show_ui_commands
    from tasks.home import local_folder

    show_ui_commands(Console(), local_folder(arguments.home))


if __name__ == "__main__":
    sys.exit(main())
