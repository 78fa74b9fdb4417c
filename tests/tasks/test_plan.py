"""The plan speaks of the flow as it is: its stages read what the tasks' signatures say, and the registry is the real one."""

import inspect
import os
import subprocess
import sys
import threading

import pytest

from data_contracts import components, retrain
from data_contracts.quantize import QuantizeSettings
from data_contracts.train import ListenSettings, RecipeSettings, SpeakSettings
from flows import retrain as flow
from flows import training
from omni_core.plan import OWN, STAGES, TRAINED
from tasks import tracking
from tasks.plan import plan_of
from tasks.registry_look import RegistryError, _through_mlflow, champion_of
from tests.flows import tiny

PART_OF = {
    "EncoderSettings": {"encoder"}, "LanguageModelSettings": {"language model"}, "CodecSettings": {"codec"},
    "SpeechHeadSettings": {"speech head"}, "ListenSettings": {"listen training"}, "SpeakSettings": {"speak training"},
    "ComponentsSettings": {"encoder", "language model", "codec", "speech head"}, "QuantizeSettings": {"weight quantizer"},
    "IngestSettings": {"data"}, "Manifest": {"ingest"}, "FittedCodec": {"fit codec"}, "Aligner": {"fit aligner"},
    "QuantizedModel": {"quantize"}, "QuantizedLanguageModel": {"quantize language model"},
    "Checkpoint": {"train listen"}, "LatencyReport": {"benchmark"},
    "ConsistencyReport": {"check consistency"},
}  # fmt: skip
"""Type in a task's signature -> what the plan calls it."""
NOT_OF_A_MODEL = {"FeaturesSettings", "ConsistencySettings", "BenchmarkSettings", "EvaluateSettings", "CompareSettings"}
BY_NAME = {"questions": "encoder features", "targets": "speech targets", "states": "language model states",
           "codes": "answer codes", "recipe_stage": "", "language": "language", "evaluation": "evaluate",
           "challenger": "evaluate", "home": "", "start": "", "judge": "", "shard": "", "shards": "", "champion": ""}  # fmt: skip


BEFORE = {"train adaption": "train alignment", "train multimodal": "train adaption"}
TASKS = {**vars(training), **vars(flow)}


def reads(task) -> set[str]:
    """What the plan should say that a task reads, from its signature."""
    found = set()
    for name, parameter in inspect.signature(task.fn).parameters.items():
        kind = str(parameter.annotation).split("[")[0].split(" ")[0]
        if name == "trained":
            found |= {stage for stages in TRAINED.values() for stage in stages}
        elif name == "before":
            found |= {BEFORE[task.name]} if task.name in BEFORE else set()
        elif kind == "RecipeStageSettings":
            found |= {f"{task.name.removeprefix('train ')} training"}
        elif name in BY_NAME:
            found |= {BY_NAME[name]} - {""}
        elif kind not in NOT_OF_A_MODEL:
            found |= PART_OF[kind]
    return found


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "report"])
def test_the_plan_knows_what_each_task_of_the_flow_reads(stage):
    task = TASKS[stage.replace(" ", "_")]
    said = set(STAGES[stage]) - {"codec.fit_minutes"}
    assert task.name == stage and said == reads(task)


def test_the_plan_knows_every_stage_of_the_flow():
    tasks = {value.name for value in TASKS.values() if type(value).__name__ == "Task"}
    assert set(STAGES) == tasks - {"current champion", "evaluate champion", "promote", "prefix states"}


def test_a_stage_of_one_head_is_no_other_heads():
    assert not set(OWN["frozen"]) & set(OWN["trained"])
    assert all(set(TRAINED[kind]) <= set(OWN[kind]) <= set(STAGES) for kind in OWN)


def test_settings_of_the_plan_are_those_of_the_flow():
    assert {ListenSettings, SpeakSettings} == {
        type(retrain.RetrainSettings().train.listen),
        type(retrain.RetrainSettings().train.speak),
    }
    assert type(retrain.RetrainSettings().train.parallel) is RecipeSettings
    assert isinstance(retrain.RetrainSettings().quantize, QuantizeSettings)
    assert set(components.ComponentsSettings.model_fields) == {"language_model", "encoder", "codec", "speech_head"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A home whose MLflow database has three versions of one model, the second is champion."""
    home = tmp_path_factory.mktemp("home")
    client = tracking.connect(str(home))
    client.create_registered_model("assistant")
    for digest in ("aaa", "bbb", ""):
        tags = {"model": digest, "champion_before": "x"} if digest else {}
        client.create_model_version("assistant", str(home), tags=tags)
    client.set_registered_model_alias("assistant", "champion", "2")
    client.set_registered_model_alias("assistant", "bare", "3")
    return home


QUESTIONS = [("assistant", "champion"), ("assistant", "bare"), ("assistant", "nobody"), ("nothing", "champion")]


@pytest.mark.parametrize(("name", "alias"), QUESTIONS)
def test_the_quick_look_says_what_mlflow_says(name, alias, registry):
    assert champion_of(str(registry), name, alias) == _through_mlflow(str(registry), name, alias)


def test_the_champion_is_the_version_that_the_alias_points_to(registry):
    assert champion_of(str(registry), "assistant", "champion") == ("2", "bbb")
    assert champion_of(str(registry), "assistant", "bare") == ("3", "")
    assert champion_of(str(registry), "assistant", "nobody") is None


def test_a_server_says_what_its_database_says(registry, monkeypatch):
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", tracking.tracking_uri(str(registry)))
    monkeypatch.setenv("_MLFLOW_SERVER_REGISTRY_STORE", tracking.tracking_uri(str(registry)))
    monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "false")
    # MLflow's server points its whole process at its registry; later tests of this process have their own
    monkeypatch.setattr("mlflow.tracking._model_registry.utils._registry_uri", None)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", tracking.tracking_uri(str(registry)))
    from mlflow.server import app
    from werkzeug.serving import make_server

    local = [champion_of(str(registry), *question) for question in QUESTIONS]
    server = make_server("127.0.0.1", 0, app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(tracking, "USERS_SERVER", f"http://127.0.0.1:{server.port}/")
    try:
        assert [champion_of("anywhere", *question) for question in QUESTIONS] == local
    finally:
        server.shutdown()


def test_a_server_that_is_gone_is_a_sentence_in_the_plan(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "USERS_SERVER", "http://127.0.0.1:9")
    with pytest.raises(RegistryError, match="does not answer"):
        champion_of("anywhere", "assistant", "champion")
    plan = plan_of(tiny.settings(tmp_path))
    assert plan.champion.startswith("the champion cannot be compared, all counts as new: the registry at")


def test_no_database_no_champion(tmp_path):
    assert champion_of(str(tmp_path), "assistant", "champion") is None
    assert list(tmp_path.iterdir()) == []


def test_a_champion_without_its_cards_is_a_sentence_in_the_plan(registry, tmp_path):
    settings = tiny.settings(tmp_path)
    promote = settings.promote.model_copy(update={"registered_model": "assistant"})
    plan = plan_of(settings.model_copy(update={"home": str(registry), "promote": promote}))
    assert "cannot be compared" in plan.champion and "bbb" in plan.champion


def test_checking_takes_seconds_and_imports_nothing_heavy(tmp_path):
    """CPU time of a process of its own, so that a busy machine does not decide."""
    code = (
        "import sys, time\n"
        "from data_contracts.retrain import RetrainSettings\n"
        "from flows.plan_tables import show_plan\n"
        "from tasks.plan import plan_of\n"
        "from rich.console import Console\n"
        "show_plan(Console(), plan_of(RetrainSettings.model_validate_json(sys.stdin.read())))\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'prefect', 'pandas', 'great_expectations'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 5, time.process_time()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=tiny.settings(tmp_path).model_dump_json(), cwd=tiny.REPOSITORY,
                          env={**os.environ, "PYTHONPATH": str(tiny.REPOSITORY)}, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "to run: ingest" in done.stdout and "yes" in done.stdout
