"""Homes and servers with real registered models; small_registry.py makes them."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tasks import registry, tracking
from tests.tasks.registered import NAMES, Place, Promoter, small


@pytest.fixture
def small_models(monkeypatch):
    monkeypatch.setattr(registry, "SERVED_MODEL", small.PARROT)


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A home with its own database and four registered versions, for all tests; each takes a name of its own."""
    home = tmp_path_factory.mktemp("house")
    small.register_all(home)
    return str(home)


@pytest.fixture
def place(house):
    return Place(house, small.copy(house, next(NAMES)))


@pytest.fixture
def place_on_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "USERS_SERVER", server)
    if tracking.connect(str(tmp_path)).search_registered_models() == []:
        small.register_all(tmp_path)
    return Place(str(tmp_path), small.copy(tmp_path, next(NAMES)))


@pytest.fixture(scope="module")
def promoter():
    one = Promoter()
    yield one
    one.process.kill()
    one.process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow server with its own database; starting it takes about ten seconds."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/server.db",
               "--artifacts-destination", str(folder / "files"), "--port", str(port), "--workers", "1"]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    yield uri
    process.terminate()
    process.wait(20)
