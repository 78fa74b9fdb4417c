"""install.sh on machines that are played by two stubs: an `nvidia-smi`, and a `python` that notes what pip is asked for."""

import os
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).resolve().parent.parent.parent / "deployments" / "install.sh"
PYTHON = """#!/bin/bash
# $HERE/log: a line a call of pip. Files that stand for the machine's state: version, no-venv, find-links, index, cpu-index
case "$*" in
    *sys.version_info*) [ "$(cat "$HERE/version")" = 3.11 ] ;;
    "-m venv "*) [ ! -e "$HERE/no-venv" ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/bin/pip" ;;
    "-m pip --version") [ -e "$(dirname "$0")/pip" ] ;;
    *"version('torch')"*) exit 1 ;;
    "-m compileall "*) touch "$HERE/compiled"; exit 1 ;;
    "-m pip "*)
        echo "[${PIP_INDEX_URL:-}] ${*:3}" >> "$HERE/log"
        case "$*" in
            *--no-index*torch*) [ -e "$HERE/find-links" ] ;;
            *--index-url*torch*) [ -e "$HERE/cpu-index" ] ;;
            *torch==*+cpu*) [ -e "$HERE/index" ] ;;
        esac ;;
esac
"""


class Machine:
    """A folder of stubs, first on the PATH."""

    def __init__(self, folder: Path):
        self.folder, self.venv = folder, folder / "venv"
        (folder / "bin").mkdir()
        self.has(version="3.11", cpu_index="")
        self.program("python3.11", PYTHON)
        self.program("nvidia-smi", "#!/bin/sh\nexit 9\n")

    def has(self, **files: str) -> None:
        for name, content in files.items():
            (self.folder / name.replace("_", "-")).write_text(content)

    def program(self, name: str, text: str) -> None:
        (self.folder / "bin" / name).write_text(text)
        (self.folder / "bin" / name).chmod(0o755)

    def install(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            ["bash", str(INSTALL), str(self.venv)], capture_output=True, text=True, timeout=30,
            env={"PATH": path, "HERE": str(self.folder), "HOME": os.environ["HOME"], **environment},
        )  # fmt: skip

    def torch(self) -> list[str]:
        """What pip was asked for torch, in turn: "[index of the environment] the options that tell one from another"."""
        dull = {"--disable-pip-version-check", "--quiet", "--no-compile", "install"}
        lines = (self.folder / "log").read_text().splitlines()
        return [" ".join(w for w in line.split() if w not in dull) for line in lines if "torch=" in line]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_with_a_gpu_the_index_s_own_torch_is_installed_with_what_it_needs(machine):
    machine.program("nvidia-smi", "#!/bin/sh\necho GPU 0\n")
    assert machine.install().returncode == 0
    (asked,) = machine.torch()
    assert asked.startswith("[] torch===")  # no --no-deps: CUDA libraries come with it


def test_without_one_a_cpu_build_is_sought_nearest_first(machine):
    done = machine.install(PIP_INDEX_URL="https://mirror.example/simple")
    version = machine.torch()[0].rpartition("==")[2]
    mirror = "[https://mirror.example/simple]"
    assert machine.torch() == [
        f"{mirror} --no-deps --no-index torch=={version}",
        f"{mirror} --no-deps torch=={version}+cpu",
        f"{mirror} --no-deps --index-url https://download.pytorch.org/whl/cpu torch=={version}",
    ]
    log = (machine.folder / "log").read_text().splitlines()
    assert done.returncode == 0 and "--require-hashes" in log[-2] and "--editable" in log[-1]


@pytest.mark.parametrize(("place", "asked"), [("find-links", 1), ("index", 2)])
def test_what_is_near_is_taken_and_nothing_else_is_asked(machine, place, asked):
    machine.has(**{place: ""})
    assert machine.install().returncode == 0 and len(machine.torch()) == asked


def test_the_users_own_index_of_cpu_builds_stands_for_pytorch_s(machine):
    assert machine.install(TORCH_CPU_INDEX="https://cpu.example").returncode == 0
    assert "--index-url https://cpu.example " in machine.torch()[-1]


def test_no_cpu_build_anywhere_is_one_sentence(machine):
    (machine.folder / "cpu-index").unlink()
    done = machine.install()
    assert done.returncode == 2 and done.stderr.endswith("set TORCH_CPU_INDEX to an index that has it\n")
    assert "requirements.lock" not in (machine.folder / "log").read_text()


def test_packages_are_compiled_and_one_that_cannot_be_stops_nothing(machine):
    assert machine.install().returncode == 0 and (machine.folder / "compiled").exists()


def test_a_half_made_environment_without_pip_is_made_whole(machine):
    assert machine.install().returncode == 0
    (machine.venv / "bin" / "pip").unlink()
    assert machine.install().returncode == 0 and (machine.venv / "bin" / "pip").exists()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [({"version": "3.12"}, "python3.11 is not Python 3.11; install Python 3.11 with its venv module, or set PYTHON to one"),
     ({"no_venv": ""}, "cannot make a virtual environment with python3.11; install its venv module")],
)  # fmt: skip
def test_what_cannot_make_an_environment_is_refused_with_one_sentence(machine, state, sentence):
    machine.has(**state)
    done = machine.install()
    assert done.returncode == 2 and done.stderr.startswith(sentence) and len(done.stderr.splitlines()) == 1
    assert not (machine.folder / "log").exists() and not machine.venv.exists()


def test_a_python_that_is_not_there_is_refused_with_the_same_sentence(machine):
    done = machine.install(PYTHON="python9")
    assert done.returncode == 2 and done.stderr.startswith("python9 is not Python 3.11; install")


def test_an_environment_of_another_python_is_refused(machine):
    assert machine.install().returncode == 0
    machine.has(version="3.12")
    done = machine.install()
    assert (
        done.returncode == 2
        and done.stderr == f"{machine.venv} was made with another Python than 3.11; remove it and start again\n"
    )
