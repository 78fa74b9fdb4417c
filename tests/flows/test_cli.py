"""The command line as a person uses it, in processes of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def omni(*words: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for name in ("PREFECT_HOME", "MLFLOW_TRACKING_URI"):  # earlier tests in this process have set them
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_answers_at_once():
    start = time.monotonic()
    done = omni("--help")
    assert done.returncode == 0 and "omni [-h] COMMAND" in done.stdout
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "nothing"), "omni: there is no preset 'nothing'"),
        (("run", "quickstart", "--set", "components.codec.name=mp3"), "unknown member of codecs: 'mp3'"),
        (("run", "quickstart", "--set", "ingest.sources=[nowhere]"), "omni: source 'nowhere' is not a folder"),
        (("run", "quickstart", "--set", "ingest.sources=[.]"), "bundled weights 'smollm2_135m_instruct' are not in"),
        (("answer", "nowhere.wav"), "omni: 'nowhere.wav' does not exist"),
        (("promote", "3"), "omni: there is no home"),
        (("rollback",), "omni: there is no home"),
        (("history", "--home", "elsewhere"), "elsewhere; run the flow first"),
    ],
)
def test_bad_input_is_one_sentence_exit_code_two_and_nothing_written(words, sentence, tmp_path):
    done = omni(*words, folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_the_user_interfaces_name_the_home(tmp_path):
    done = omni("ui", "--home", str(tmp_path))
    assert f"sqlite:///{tmp_path}/mlflow.db" in done.stdout and f"PREFECT_HOME={tmp_path}/prefect" in done.stdout
