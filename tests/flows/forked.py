"""`omni` in processes of its own that start in milliseconds: words of a command line enter, exit code and what it said leave.

Run as a program it is a process that has imported what the commands import, for seconds, and forks a child for each:

    python forked.py MODULE ...    stdin: {"words": ["run", "mine.yaml"], "folder": ..., "out": ..., "err": ...}
                                   stdout: the child's process id; and when it has ended, its exit code

Like a process that was started from a shell the child has a group, a folder and an output of its own, and its imports aside
nothing has run in it.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
REGISTRY = ("mlflow.pyfunc.model", "mlflow.store.model_registry.sqlalchemy_store",
            "mlflow.store.tracking.sqlalchemy_store", "tasks.registry", "omni_core.torchaudio_on_cpu")  # fmt: skip
FLOW = (*REGISTRY, "flows.retrain", "great_expectations", "omni_core.ingest", "omni_core.evaluate", "omni_core.train",
        "omni_core.speech_to_speech", "transformers.models.llama.modeling_llama",
        "transformers.models.whisper.modeling_whisper")  # fmt: skip


class Forked:
    """Starts commands; one at a time."""

    def __init__(self, environment: dict[str, str], modules: tuple[str, ...]):
        command = [sys.executable, __file__, *modules]
        environment = {**environment, "PYTHONPATH": str(REPOSITORY)}
        self.server = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.server.stdout.readline() == b"ready\n"

    def start(self, *words: str, folder: Path, out: Path, err: Path) -> int:
        """Start a command; its process id, which is that of its group too."""
        order = {"words": words, "folder": str(folder), "out": str(out), "err": str(err)}
        self.server.stdin.write(json.dumps(order).encode() + b"\n")
        return int(self.server.stdout.readline())

    def returncode(self, wait_s: float = 0) -> int | None:
        """Of the command that was started last, as of a Popen, asked once; None when it has not ended within `wait_s`."""
        ready, _, _ = select.select([self.server.stdout], [], [], wait_s)
        return int(self.server.stdout.readline()) if ready else None

    def run(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """As subprocess.run."""
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            self.start(*words, folder=folder, out=Path(out.name), err=Path(err.name))
            code = self.returncode(120)
            assert code is not None, err.read()
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    def close(self) -> None:
        """End the process that forks."""
        self.server.kill()
        self.server.communicate()


def _child(order: dict) -> int:
    """Exit code of a command, in the child."""
    os.setsid()
    os.chdir(order["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    from flows.cli import main

    try:
        return main(order["words"])
    except SystemExit as end:  # --help, or words that the parser does not know
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _obey() -> None:
    from flows.environment import DEFAULTS

    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    for module in sys.argv[1:]:
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(_child(json.loads(line)))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _obey()
