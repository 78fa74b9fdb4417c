"""`omni listen A B`: two references enter, a served page or a stored result leaves.

The link is printed once it can be followed. While raters are at work only their number is told, never what they prefer:
who looks at every answer stops the test when he likes what he sees.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import yaml

from data_contracts.errors import PromotionError, SettingsError, SourceError
from data_contracts.evaluate import EvaluationReport
from data_contracts.listening_test import ListeningTest, ListeningTestSettings
from data_contracts.promote import PromoteSettings
from omni_core.listening_test.answers import AnswerBook, engine_of
from omni_core.listening_test.pairs import reports_of
from omni_core.listening_test.prepare import prepare
from omni_core.sealed_looks import log_look, looks
from omni_core.store import ArtifactStore
from tasks.home import local_folder, store_of

READER = "listen"
"""Of the log of looks at the sealed sets."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def listen(
    home: str,
    a: str,
    b: str,
    overrides: tuple[str, ...],
    database: str,
    host: str,
    port: int,
    results: bool,
    model: str,
) -> None:
    """Prepare the test, then serve it until it is stopped, or (`results`) analyse the answers given so far."""
    store = store_of(home)
    settings = settings_of(overrides)
    engine_of(database)  # before anything is written
    listener = None if results else _listener(host, port)
    test = prepare(store, named(store, a, home, model), named(store, b, home, model), settings)
    log_looks(store, test, local_folder(home))
    if database.startswith("sqlite:///"):
        Path(database.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    book = AnswerBook(database, test.digest)
    if listener:
        _serve(store, test, book, host, listener)
    else:
        _show_result(store, test, book)


def named(store: ArtifactStore, reference: str, home: str, model: str) -> str:
    """A folder or a report's digest as it is; champion, previous, a version or a run's id as the digest of its report."""
    if Path(reference).is_dir() or reports_of(store, reference) or not local_folder(home).is_dir():
        return reference
    from flows.environment import prepare as prepare_environment

    prepare_environment(local_folder(home))
    from tasks.which import known

    try:
        return known(reference, PromoteSettings(registered_model=model), home).evaluation.digest
    except PromotionError as error:
        raise SourceError(f"'{reference}' is no folder of recordings and no report's digest; {error}") from error


def log_looks(store: ArtifactStore, test: ListeningTest, home: Path) -> None:
    """Answers to sealed questions are heard: a look at their sealed set, once a test."""
    seen = {look["model"] for look in looks(home) if look["reader"] == READER}
    if "a" not in test.inputs or test.digest in seen:
        return
    report = store.load(EvaluationReport, test.inputs["a"])
    log_look(home, reader=READER, model=test.digest, manifest=report.inputs.get("manifest", ""),
             sealed_set=report.facts["sealed_set"], turns=test.facts["pairs"])  # fmt: skip


def settings_of(overrides: tuple[str, ...]) -> ListeningTestSettings:
    """name=value, each -> validated settings. Raises SettingsError: one sentence that names the setting."""
    from pydantic import ValidationError

    values: dict[str, Any] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise SettingsError(f"--set takes name=value, as pairs_per_rater=12; got '{override}'")
        values[name.strip()] = yaml.safe_load(text)
    try:
        return ListeningTestSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(
            f"--set {where}: {first['msg']} (of {', '.join(ListeningTestSettings.model_fields)})"
        ) from error


def _show_result(store: ArtifactStore, test: ListeningTest, book: AnswerBook) -> None:
    from omni_core.listening_test.result import conclude, concluded

    before = concluded(store, test)
    result = conclude(store, test, book.sessions())
    print("\n".join(result.facts["sentences"]))
    if before:
        print("this test was finished and analysed before: that result stands, answers given since are not in it; for more "
              "raters plan a new test with --set raters=N")  # fmt: skip
    print(f"stored as listening_result/{result.digest}")


def _serve(store: ArtifactStore, test: ListeningTest, book: AnswerBook, host: str, listener: socket.socket) -> None:
    import uvicorn

    from flows.listening_test.server import application

    app = application(store.folder(test), book)
    facts, port = test.facts, listener.getsockname()[1]
    print(f"{facts['pairs']} pairs of a ({facts['a']}) and b ({facts['b']}), {facts['set_aside']} set aside")
    print(f"http://{_shown(host)}:{port}/t/{book.token()}/", flush=True)
    if host in LOOPBACK:
        print("this machine only; to share it, put a proxy with TLS before it, or take --host 0.0.0.0", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # how a person stops it
        # no access log: it would hold the token
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
    sessions = book.sessions()
    print(f"{len(sessions)} raters, {sum(session.is_finished for session in sessions)} of them finished; the same command with --results tells what they prefer")  # fmt: skip


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # whoever follows the link at once waits the moment that the server needs
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"cannot serve on {host}, port {port} ({error}); choose others with --host and --port"
        ) from error
    return listener


def _shown(host: str) -> str:
    """A name that others can type: 0.0.0.0 is no address to go to."""
    host = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{host}]" if ":" in host else host
