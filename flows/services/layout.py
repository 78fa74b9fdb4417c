"""A home and two ports enter; what `omni up` runs for them, with which environment, leaves.

<home>/services/   supervisord.conf   supervisor.sock   services.json   prefect.yaml   watched.json   <service>.log

    supervisord -+- prefect   the Prefect server      started first
                 +- mlflow    the MLflow server
                 +- worker    runs the flows          started when the servers answer and the flows are deployed
                 +- watcher   looks for new data

Everything listens on the loopback address alone: neither server asks anybody for a password.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.environment import DEFAULTS
from tasks.home import local_folder

HOST = "127.0.0.1"
POOL = "local"
MARK = "OMNIREFIT_SERVICES"
"""Environment variable that every process started by `omni up` inherits, so that `omni down` finds the last of them."""
SERVERS, HELPERS = ("prefect", "mlflow"), ("worker", "watcher")
LONGEST_SOCKET = 100
"""Characters of a socket's path: the kernel takes 107."""


@dataclass(frozen=True)
class Services:
    """The services of one home."""

    home: str
    prefect_port: int
    mlflow_port: int
    landings: tuple[str, ...] = ()
    """URL=FOLDER: a bucket and the source folder that it is copied into."""
    watch_every_s: float = 10.0
    """Between two looks at the sources."""

    @property
    def folder(self) -> Path:
        return local_folder(self.home) / "services"

    @property
    def prefect_url(self) -> str:
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def socket(self) -> Path:
        """In the services' folder, or in the temporary one where that folder's path is too long for a socket."""
        wanted = self.folder / "supervisor.sock"
        if len(str(wanted)) <= LONGEST_SOCKET:
            return wanted
        return (
            Path(tempfile.gettempdir()) / f"omnirefit-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}.sock"
        )

    def url_of(self, name: str) -> str:
        """Address of a server; empty for a helper."""
        return {"prefect": self.prefect_url, "mlflow": self.mlflow_url}.get(name, "")

    def health_of(self, name: str) -> str:
        """Address that answers when the server is well; empty for a helper."""
        return {"prefect": f"{self.prefect_url}/api/health", "mlflow": f"{self.mlflow_url}/health"}.get(name, "")


def write(services: Services) -> None:
    """Make the folder and note down the services there."""
    services.folder.mkdir(parents=True, exist_ok=True)
    (services.folder / "services.json").write_text(json.dumps(asdict(services), indent=1))
    (services.folder / "supervisord.conf").write_text(supervisord_conf(services))


def read(home: str) -> Services | None:
    """What was noted down; None where `omni up` never was."""
    try:
        noted = json.loads((local_folder(home) / "services" / "services.json").read_text())
        return Services(**noted | {"landings": tuple(noted["landings"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def run_now(services: Services) -> bool:
    """Somebody listens on the supervisor's socket."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(services.socket))
            return True
        except OSError:
            return False


def environment(services: Services) -> dict[str, str]:
    """Of every service, and of every flow run that the worker starts."""
    local = local_folder(services.home)
    return {
        **DEFAULTS,
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # MLflow looks for uvicorn there
        "PREFECT_HOME": str(local / "prefect"),
        "PREFECT_API_URL": f"{services.prefect_url}/api",
        "PREFECT_SERVER_UI_API_URL": f"{services.prefect_url}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # a page of another site in the same browser can neither read nor change anything
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": services.prefect_url,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",  # into the services' logs
        "MLFLOW_TRACKING_URI": services.mlflow_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes and 1.2 GB that nothing here uses
        MARK: str(local),
    }


def commands(services: Services) -> dict[str, list[str]]:
    """Service -> its command."""
    local, python = local_folder(services.home), [sys.executable, "-m"]
    landings = [word for landing in services.landings for word in ("--landing", landing)]
    return {
        "prefect": [*python, "flows.services.prefect_server", "server", "start", "--host", HOST, "--port", str(services.prefect_port)],
        "mlflow": [*python, "mlflow", "server", "--host", HOST, "--port", str(services.mlflow_port), "--workers", "1",
                   "--backend-store-uri", f"sqlite:///{local / 'mlflow.db'}",
                   "--default-artifact-root", (local / "mlflow").as_uri(), "--no-serve-artifacts"],
        "worker": [*python, "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "omnirefit"],
        "watcher": [*python, "flows.cli", "watch", "--home", services.home, "--every", str(services.watch_every_s), *landings],
    }  # fmt: skip


def supervisord_conf(services: Services) -> str:
    """supervisor's configuration: services that die are started again, logs rotate at 50 MB."""
    folder = _value(str(services.folder))
    lines = [
        "[supervisord]", f"logfile={folder}/supervisord.log", f"pidfile={folder}/supervisord.pid", f"childlogdir={folder}",
        "[unix_http_server]", f"file={_value(str(services.socket))}", "chmod=0700",
        "[rpcinterface:supervisor]", "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]  # fmt: skip
    for name, command in commands(services).items():
        lines += [
            f"[program:{name}]", f"command={' '.join(_quoted(word) for word in command)}", "autorestart=true",
            f"autostart={'true' if name in SERVERS else 'false'}", "startsecs=3", "stopasgroup=true", "killasgroup=true",
            "stopwaitsecs=20", "redirect_stderr=true", f"stdout_logfile={folder}/{name}.log",
            "stdout_logfile_maxbytes=50MB", "stdout_logfile_backups=3",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _value(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    return '"' + _value(word).replace("\\", "\\\\").replace('"', '\\"') + '"'
