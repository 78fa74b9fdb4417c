"""Registered models of a test, and the process that promotes and kills."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks import champion, registry, tracking
from tasks.champion import promote_version, roll_back

REPOSITORY = Path(__file__).resolve().parent.parent.parent
spec = importlib.util.spec_from_file_location("small_registry", Path(__file__).with_name("small_registry.py"))
small = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)
NAMES = (f"model-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Place:
    """A registered model of one test: version 1 is champion, 2 and 4 could be, 3 could after 2."""

    home: str
    name: str

    @property
    def settings(self):
        return small.settings(self.name)

    @property
    def client(self):
        return tracking.connect(self.home)

    @property
    def standing(self):
        return registry.standing(self.home, self.name, "champion")

    def current(self):
        return champion.current(self.home, self.settings)

    def promote(self, number: str):
        return promote_version(self.home, number, self.settings)

    def roll_back(self, to: str = ""):
        return roll_back(self.home, self.settings, to)

    def package(self, number: str) -> Path:
        with registry.package_of(self.home, f"models:/{self.name}/{number}") as folder:
            return folder

    def the_one_champion(self) -> str:
        """The version behind the alias, read without the history; it must be there, whole, and the only one."""
        aliases = self.client.get_registered_model(self.name).aliases
        assert [alias for alias in aliases if alias.lower() == "champion"] == ["champion"]
        number = str(aliases["champion"])
        champion._check_files(self.home, registry.versions(self.home, self.name)[number], self.settings)
        return number


class Promoter:
    """The process that promotes and kills."""

    def __init__(self, uri: str = ""):
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
        environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
        command = [sys.executable, str(Path(small.__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment)  # fmt: skip
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()

    def __call__(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def refusal(self) -> str:
        """The one sentence that it has said to a person; MLflow's warnings apart."""
        self.process.stdin.close()
        (said,) = [line for line in self.process.stderr if line.startswith("omni: ")]
        return said
