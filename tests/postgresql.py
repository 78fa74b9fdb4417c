"""A PostgreSQL of a test's own: a new cluster on a free port of this machine. A person's machine without it skips; CI fails instead."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEBIANS = "/usr/lib/postgresql"
UNPRIVILEGED = "postgres"
"""The user that Debian's package makes: PostgreSQL refuses to run as root."""


def programs() -> Path:
    """Where initdb and postgres are, the newest version's; to be called in a test or a fixture."""
    on_the_path = [Path(found).resolve().parent for found in filter(None, [shutil.which("initdb")])]
    debians = sorted(Path(DEBIANS).glob("*/bin"), key=lambda path: float(path.parent.name))
    found = [path for path in (*on_the_path, *debians) if (path / "initdb").exists()]
    if not found and "CI" not in os.environ:
        pytest.skip("PostgreSQL is not installed, so no answers can be kept in it")
    assert found, f"initdb is neither on the PATH nor in {DEBIANS}; CI has to keep answers in PostgreSQL"
    return found[-1]


class Cluster:
    """A cluster that takes connections with a password, from this machine alone."""

    def __init__(self, folder: Path):
        self.programs, self.folder = programs(), folder
        self.password = secrets.token_hex(8)
        self._as = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "password").write_text(self.password)
        (folder / "password").chmod(0o644)  # the folder is closed to others
        self._run("initdb", "--pgdata", "data", "--username", "omni", "--auth", "scram-sha-256", "--pwfile", "password",
                  "--no-sync", "--encoding", "UTF8", "--locale", "C")  # fmt: skip

    def url(self, password: str = "") -> str:
        return f"postgresql+pg8000://omni:{password or self.password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Returns once it takes connections."""
        options = ["-D", "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                   "-k", str(self.folder)]  # fmt: skip
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", *options], cwd=self.folder, stdout=log, stderr=log, **self._as
            )
        for _ in range(600):
            if self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q", may_fail=True) == 0:
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError("PostgreSQL takes no connections after a minute")

    def stop(self) -> None:
        self.process.send_signal(2)  # SIGINT: fast shutdown, whoever is connected
        self.process.wait(60)

    def _run(self, program: str, *options: str, may_fail: bool = False) -> int:
        done = subprocess.run(
            [self.programs / program, *options], cwd=self.folder, capture_output=True, text=True, **self._as
        )
        assert may_fail or done.returncode == 0, done.stderr
        return done.returncode


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running one, gone afterwards. In a folder of its own: pytest's are closed to the user that it runs as."""
    programs()
    with tempfile.TemporaryDirectory(prefix="omnirefit-postgresql-") as folder:
        made = Cluster(Path(folder))
        made.start()
        try:
            yield made
        finally:
            made.stop()
