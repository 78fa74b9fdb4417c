"""Commands about models that are there: they answer, are compared, promoted, taken back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands import add_home, add_set

if TYPE_CHECKING:
    from data_contracts.promote import PromoteSettings

LENGTH_OF_A_RUN = 8
"""A number this long is the beginning of a run's id, not a version."""


def add_to(commands: argparse._SubParsersAction) -> None:
    """Declare the words."""
    _add_asking(commands)
    _add_registry(commands)


def _add_asking(commands: argparse._SubParsersAction) -> None:
    of_answer = commands.add_parser("answer", help="let the champion answer a recorded question")
    of_answer.add_argument("wav", type=Path, help="the question: wav, flac or ogg")
    of_answer.add_argument("--out", type=Path, default=Path("answer.wav"), help="where the answer goes (answer.wav)")
    of_answer.add_argument("--alias", default="champion", help="alias in the registry (champion)")
    of_answer.set_defaults(command=answer)

    of_listen = commands.add_parser("listen", help="let people compare two models by ear, on a web page")
    of_listen.add_argument(
        "a", help="champion, previous, version or run; report (digest or folder); folder of recordings"
    )
    of_listen.add_argument("b", help="the other one; equal turns or equal file names make a pair")
    add_set(of_listen, "one setting, as design=abx")
    where = "where answers go, as postgresql+pg8000://host/name (listening.db in the home)"
    of_listen.add_argument("--database", help=where)
    of_listen.add_argument("--host", default="127.0.0.1", help="address to serve on (127.0.0.1: this machine only)")
    of_listen.add_argument("--port", type=int, default=8765, help="port to serve on (8765; 0: any free one)")
    of_listen.add_argument("--results", action="store_true", help="analyse the answers instead of serving the page")
    of_listen.set_defaults(command=listen)
    add_home(of_answer, of_listen)
    _add_model(of_answer, of_listen)

    of_online = commands.add_parser(
        "online", help="live traffic: is the challenger better by now? Ask whenever you like"
    )
    of_online.add_argument("scores", type=Path, help="csv in order of arrival: columns challenger and champion, 0 to 1")
    of_online.add_argument(
        "--confidence", type=float, default=0.95, help="of either answer, however often asked (0.95)"
    )
    of_online.add_argument("--margin", type=float, default=0.0, help="a loss that small is not worse (0)")
    of_online.set_defaults(command=online)


def _add_registry(commands: argparse._SubParsersAction) -> None:
    of_promote = commands.add_parser("promote", help="make a proven version champion")
    which = "version, or MLflow run (the newest that never was champion)"
    of_promote.add_argument("which", nargs="?", default="", help=which)
    of_promote.set_defaults(command=promote)

    of_rollback = commands.add_parser("rollback", help="take the last promotion back")
    to = "a version that was champion (the one before)"
    of_rollback.add_argument("--to", default="", metavar="VERSION", help=to)
    of_rollback.set_defaults(command=rollback)

    of_history = commands.add_parser("history", help="who was champion, and why")
    of_history.set_defaults(command=history)
    add_home(of_promote, of_rollback, of_history)
    _add_model(of_promote, of_rollback, of_history)
    for command in (of_promote, of_rollback, of_history):
        command.add_argument("--alias", default="champion", help="alias in the registry (champion)")
        command.add_argument("--previous-alias", default="previous", help="alias of the champion before (previous)")


def _add_model(*commands: argparse.ArgumentParser) -> None:
    for command in commands:
        command.add_argument("--model", default="omnirefit-assistant", help="registered model (omnirefit-assistant)")


def answer(arguments: argparse.Namespace) -> None:
    """Write the spoken answer, print the written one."""
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


def listen(arguments: argparse.Namespace) -> None:
    """Serve the page of a listening test, or analyse its answers."""
    from flows.listening_test.command import listen
    from tasks.home import local_folder

    database = arguments.database or f"sqlite:///{local_folder(arguments.home)}/listening.db"
    listen(arguments.home, arguments.a, arguments.b, tuple(arguments.set), database,
           arguments.host, arguments.port, arguments.results, arguments.model)  # fmt: skip


def online(arguments: argparse.Namespace) -> None:
    """One sentence about live traffic."""
    from omni_core.online_scores import read_paired, sentence

    print(sentence(read_paired(arguments.scores), arguments.confidence, arguments.margin))


def promote(arguments: argparse.Namespace) -> None:
    """Make a version, or the winner of a run, champion."""
    home, settings = _registry(arguments)
    from tasks import champion

    number = arguments.which or champion.newest_never_promoted(home, settings)
    if number.isdigit() and len(number) < LENGTH_OF_A_RUN:
        champion.promote_version(home, number, settings)
    else:
        from tasks.promote import promote_run

        number = promote_run(number, settings, home)
    print(f"version {number} of {settings.registered_model} is the {settings.alias}")


def rollback(arguments: argparse.Namespace) -> None:
    """Put the champion before back."""
    home, settings = _registry(arguments)
    from tasks.champion import roll_back

    line = roll_back(home, settings, arguments.to)
    again = f"version {line.version} of {settings.registered_model} is the {settings.alias} again"
    print(
        again if line.version else f"{settings.registered_model} has no {settings.alias} now; the next run starts anew"
    )


def history(arguments: argparse.Namespace) -> None:
    """Print who was champion, and why."""
    home, settings = _registry(arguments)
    from rich.console import Console

    from flows.summary import show_history
    from tasks import registry
    from tasks.home import local_folder

    standing = registry.standing(home, settings.registered_model, settings.alias)
    show_history(Console(), standing, local_folder(home))


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
