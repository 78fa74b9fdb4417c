"""The command line as a person uses it, in processes of its own."""

import importlib.util
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows import forked

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def environment() -> dict[str, str]:
    """Without what earlier tests in this process have set."""
    unwanted = ("PREFECT_HOME", "MLFLOW_TRACKING_URI")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def omni(*words: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def quick():
    """As omni, of a process that has imported MLflow: forked.py."""
    server = forked.Forked(environment(), forked.REGISTRY)
    yield lambda *words: server.run(*words, folder=REPOSITORY)
    server.close()


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
        (
            ("run", "quickstart", "--set", "components.speech_head.name=choir"),
            "unknown member of speech_heads: 'choir'",
        ),
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
    home = tmp_path / "my home"
    done = omni("ui", "--home", str(home))
    assert f"'sqlite:///{home}/mlflow.db'" in done.stdout and f"PREFECT_HOME='{home}/prefect'" in done.stdout
    programs = re.findall(r"[ `](/\S*/bin/\w+) ", done.stdout)
    assert [Path(program).name for program in programs] == ["omni", "mlflow", "prefect"]
    assert all(os.access(program, os.X_OK) for program in programs)


def test_check_refuses_what_cannot_work_with_code_two_and_writes_nothing(tmp_path):
    from tests.flows import tiny

    (tmp_path / "there").mkdir()
    settings = tiny.settings(tmp_path / "there")
    (tmp_path / "mine.yaml").write_text(settings.model_dump_json())  # JSON is YAML
    done = omni("check", "mine.yaml", "--set", "components.speech_head.width=50", folder=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr
        == "omni: speech_head.width 50 does not divide into 2 heads of even width; make it a multiple of 4\n"
    )
    done = omni("check", "mine.yaml", folder=tmp_path)
    assert done.returncode == 0 and "there is no champion: all is new" in done.stdout
    assert not Path(settings.home).exists()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A home in which version 1 of the model parrot is champion, and 2 and 4 have won against it."""
    spec = importlib.util.spec_from_file_location(
        "small_registry", REPOSITORY / "tests" / "tasks" / "small_registry.py"
    )
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    from tasks.champion import promote_version

    home = str(tmp_path_factory.mktemp("house"))
    small.register_all(home)
    promote_version(home, "1", small.settings())
    return home


def test_promote_history_rollback_in_turn(house, quick):
    where = ("--home", house, "--model", "parrot")
    promoted = quick("promote", *where)
    assert promoted.stdout == "version 4 of parrot is the champion\n", promoted.stderr
    refused = quick("promote", "2", *where)
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
    assert "omni: version 2 of parrot was compared with model" in refused.stderr
    table = quick("history", *where).stdout
    assert "promote" in table and "champion: version 4" in table

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    back = omni("rollback", *where)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert back.stdout == "version 1 of parrot is the champion again\n", back.stderr
    # the processor's time: what a clock shows on a machine that does nothing else
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
    assert "rollback" in quick("history", *where).stdout


def test_a_model_of_the_registry_is_named_to_a_listening_test_as_it_is_elsewhere(house):
    from data_contracts.errors import SourceError
    from flows.listening_test.command import named
    from tasks import registry
    from tasks.home import store_of

    versions, store = registry.versions(house, "parrot"), store_of(house)
    report = versions["2"].tags["evaluation"]
    assert named(store, "2", house, "parrot") == named(store, report, house, "parrot") == report
    assert named(store, "champion", house, "parrot") == versions["1"].tags["evaluation"]
    with pytest.raises(SourceError, match="'nobody' is no folder of recordings and no report's digest; no runs"):
        named(store, "nobody", house, "parrot")


def test_what_a_hand_did_is_shown_by_the_history_and_mended_by_a_rollback(house, quick):
    from tasks import tracking

    where = ("--home", house, "--model", "parrot")
    tracking.connect(house).delete_registered_model_alias("parrot", "champion")
    assert "was deleted by hand; `omni rollback --to 1` puts it back" in quick("history", *where).stdout
    assert quick("rollback", "--to", "1", *where).returncode == 0
    assert "champion: version 1" in quick("history", *where).stdout
