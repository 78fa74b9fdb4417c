"""Registered models of a test, and the process that promotes and kills."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
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
    """The process that promotes and kills; one for all tests of a file, as it imports for seconds."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
        command = [sys.executable, str(Path(small.__file__))]
        # no pipe: one that nobody empties would be full after a hundred promotions
        self.said = tempfile.NamedTemporaryFile("r")  # noqa: SIM115 closed with the object
        with open(self.said.name, "ab") as said:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
                                            text=True, env=environment)  # fmt: skip
        assert self.process.stdout.readline() == "ready\n", self.said.read()
        self.numbers = itertools.count()

    def __call__(self, **order):
        self.said.read()
        number = next(self.numbers)
        self.process.stdin.write(json.dumps(order | {"number": number}) + "\n")
        self.process.stdin.flush()
        while (answer := json.loads(self.process.stdout.readline()))["number"] != number:
            pass  # a test that ran out of time has not waited for it
        return answer

    def refusal(self) -> str:
        """The one sentence that the last order made it say to a person; MLflow's warnings apart."""
        (said,) = [line for line in self.said if line.startswith("omni: ")]
        return said
