"""The services' supervisor: start it, ask it, stop it, and find what it left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

import psutil

from data_contracts.errors import OmniError, SettingsError
from flows.services.layout import HOST, MARK, SERVERS, Services, environment
from tasks.home import local_folder

ANSWERS_WITHIN_S = 180
"""A first start makes two databases; on two busy cores it took 40 s."""
LOOK_EVERY_S = 0.2
STOPS_WITHIN_S = 60
DEAD = ("EXITED", "FATAL", "BACKOFF", "STOPPED")


class ServiceError(OmniError):
    """A service does not start, or does not stay up; its log tells why."""


def supervisor(services: Services) -> Any | None:
    """supervisord's interface (XML-RPC over a socket that only the user can open); None when it does not run."""
    from xmlrpc.client import ServerProxy

    from supervisor.xmlrpc import SupervisorTransport

    proxy = ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{services.socket}"))
    try:
        proxy.supervisor.getState()
        return proxy.supervisor
    except OSError:
        return None


def start(services: Services) -> Any:
    """Start supervisord, and with it the servers. Raises SettingsError when a port is taken."""
    for name, port in (("prefect", services.prefect_port), ("mlflow", services.mlflow_port)):
        check_port(name, port)
    conf = str(services.folder / "supervisord.conf")
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", conf],
        env=environment(services), capture_output=True, text=True, check=False,
    )  # fmt: skip
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < deadline and done.returncode == 0:
        if asked := supervisor(services):
            return asked
        time.sleep(0.1)
    raise ServiceError(f"supervisord did not start: {(done.stderr or done.stdout).strip() or 'no answer'}; see {conf}")


def check_port(name: str, port: int) -> None:
    """Raises SettingsError when another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} is taken ({error.strerror}); stop what listens there, or choose another with --{name}-port"
            ) from error


def wait_until_well(services: Services, names: tuple[str, ...] = SERVERS) -> None:
    """Until the servers answer. Raises ServiceError, with the end of its log, for one that died or never answers.

    Looks are counted: a clock runs on while a machine sleeps or holds its processes.
    """
    left = int(ANSWERS_WITHIN_S / LOOK_EVERY_S)
    for name in names:
        while not is_well(services, name):
            asked = supervisor(services)
            state = asked.getProcessInfo(name)["statename"] if asked else "gone"
            if state in ("FATAL", "EXITED", "gone") or left <= 0:
                raise ServiceError(f"the service '{name}' does not start ({state}): {_end_of_log(services, name)}")
            time.sleep(LOOK_EVERY_S)
            left -= 1


def is_well(services: Services, name: str) -> bool:
    """The server answers; a helper runs."""
    if not (address := services.health_of(name)):
        asked = supervisor(services)
        return bool(asked and asked.getProcessInfo(name)["statename"] == "RUNNING")
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end_of_log(services: Services, name: str) -> str:
    path = services.folder / f"{name}.log"
    lines = path.read_text(errors="replace").strip().splitlines() if path.is_file() else []
    return f"{' | '.join(lines[-3:]) or 'it said nothing'}; see {path}"


def start_service(services: Services, name: str) -> None:
    """Start a helper that does not run; one that runs is left alone."""
    asked = supervisor(services)
    assert asked, "the servers run before the helpers do"
    if asked.getProcessInfo(name)["statename"] in DEAD:
        asked.startProcess(name, False)


def stop(services: Services) -> list[str]:
    """Stop all, helpers first, so that flow runs can still say how they ended; returns what had to be ended by hand."""
    if asked := supervisor(services):
        itself = psutil.Process(asked.getPID())
        for name in ("watcher", "worker", "mlflow", "prefect"):
            with contextlib.suppress(Exception):  # it was not running
                asked.stopProcess(name)
        with contextlib.suppress(OSError):
            asked.shutdown()
        with contextlib.suppress(psutil.TimeoutExpired):
            itself.wait(STOPS_WITHIN_S)
    return sweep(services)


def sweep(services: Services) -> list[str]:
    """End every process that still carries this home's mark: of a supervisor that was killed, or of a flow run."""
    left = marked(services)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=10)
    return [f"pid {process.pid}" for process in left]


def marked(services: Services) -> list[psutil.Process]:
    """Living processes that `omni up` of this home has started, directly or not."""
    mine = str(local_folder(services.home))
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _mark_of(process) == mine]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK)
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return None
