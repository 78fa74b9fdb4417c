"""The whole journey at a size of seconds, in the real house: Prefect, MLflow, judge and all. About a minute, once."""

import base64
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_contracts.benchmark import PER_ANSWER, LatencyReport

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

NEVER_CACHED = {"current champion", "promote"}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prefect_server):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def first(folder):
    """Settings and outcome of a first run."""
    from flows.retrain import retrain

    settings = tiny.settings(folder)
    return settings, retrain(settings)


@pytest.fixture(scope="module")
def swapped(first):
    """Settings with another codec, the stages that the plan named before, those that ran, and the outcome."""
    from flows.retrain import retrain
    from tasks.plan import plan_of

    settings, _ = first
    codec = settings.components.codec.model_copy(update={"patch_frames": 6})
    parts = settings.components.model_copy(update={"codec": codec})
    other = settings.model_copy(update={"components": parts, "stages_at_once": 2, "threads": 2})
    planned, outcome = set(plan_of(other).stages_to_run), retrain(other)
    return other, planned, computed(), outcome


def computed() -> set[str]:
    """Stages that the run begun last has really computed."""
    from tasks.stage import latest_journal

    return {stage.name for stage in latest_journal() if not stage.was_cached} - NEVER_CACHED


def ran(settings) -> set[str]:
    """Stages that a run with these settings really computes."""
    from flows.retrain import retrain

    retrain(settings)
    return computed()


def test_a_first_model_that_passes_the_gates_is_the_champion(first):
    _, outcome = first
    assert outcome.verdict.facts["decision"] == "PROMOTE"
    assert outcome.promotion.facts["promoted"] and outcome.promotion.facts["version"] == "1"


def test_the_champion_s_cards_lead_back_to_the_manifest_through_every_stage(first):
    settings, outcome = first
    cards = {path.parent.name: json.loads(path.read_text()) for path in Path(settings.home).glob("store/*/*/card.json")}
    found, waiting = {}, [outcome.promotion.inputs["model"]]
    while waiting:
        digest = waiting.pop()
        found[digest] = cards[digest]
        waiting += found[digest]["inputs"].values()
    kinds = {card["facts"].get("kind", card["kind_name"]) for card in found.values()}
    assert kinds == {"model", "checkpoint", "codec", "aligner", "encoder", "speech", "language_model", "manifest"}
    (manifest,) = (card for card in found.values() if card["kind_name"] == "manifest")
    read = {named for card in found.values() for named in card["facts"].get("shards", {}).items()}
    shards = {(name, file["sha256"]) for name, file in manifest["files"].items() if name.startswith("utterances/")}
    assert read == shards
    assert all(len(card["code_digest"]) == 32 for card in cards.values())


def test_the_champion_answers_a_wav_with_a_wav_and_its_text(first):
    from omni_core.audio import decode, encode_wav
    from omni_core.teacher import load_voice
    from tasks.registry import load_version

    settings, _ = first
    voice = load_voice("hibari")
    question = base64.b64encode(encode_wav(voice.speak("Turn on light 4 in the hall."), voice.sample_rate_hz)).decode()
    answers = load_version(settings.home, settings.promote.registered_model, "@champion").predict({"audio": [question]})
    waveform, sample_rate_hz = decode(base64.b64decode(answers["audio"][0]))
    assert len(waveform) > 0 and sample_rate_hz == answers["sample_rate_hz"][0] and answers["text"][0].strip()


def test_the_champion_says_that_it_heard_nothing_in_silence_and_writes_no_answer(first, tmp_path, capsys):
    import numpy as np

    from flows.cli import main
    from omni_core.audio import encode_wav

    settings, _ = first
    (tmp_path / "silence.wav").write_bytes(encode_wav(np.zeros(16_000, np.float32), 16_000))
    answer = tmp_path / "answer.wav"
    assert not main(["answer", str(tmp_path / "silence.wav"), "--home", settings.home, "--out", str(answer)])
    assert "no words were heard in" in capsys.readouterr().out and not answer.exists()


@pytest.fixture(scope="module")
def serving(first, tmp_path_factory):
    """`mlflow models serve` as a user starts it: elsewhere, and without this repository."""
    settings, _ = first
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow looks for uvicorn there
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{settings.home}/mlflow.db", "PATH": path}
    environment.pop("PYTHONPATH", None)
    uri = f"models:/{settings.promote.registered_model}@champion"
    command = ["models", "serve", "-m", uri, "--env-manager", "local", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mlflow", *command], cwd=tmp_path_factory.mktemp("elsewhere"), env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
            break
        except OSError:
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/invocations"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(20)


def ask(url: str, audio: str) -> list[dict]:
    body = json.dumps({"dataframe_split": {"columns": ["audio"], "data": [[audio]]}}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)["predictions"]


def test_mlflow_serves_the_champion_wav_in_wav_and_text_out(first, serving):
    from omni_core.audio import decode
    from omni_core.probe import ANSWERS
    from tasks import registry

    settings, _ = first
    with registry.package_of(settings.home, f"models:/{settings.promote.registered_model}/1") as folder:
        proof = folder / "artifacts" / "proof"
        question = base64.b64encode((proof / "question-0.wav").read_bytes()).decode()
        noted = json.loads((proof / ANSWERS).read_text())["answers"][0]
    (answer,) = ask(serving, question)
    waveform, sample_rate_hz = decode(base64.b64decode(answer["audio"]))
    assert len(waveform) > 0 and answer["sample_rate_hz"] == sample_rate_hz
    assert answer["text"] == noted["text"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(serving, "no base64!")
    assert refused.value.code == 400 and "this is not base64" in refused.value.read().decode()


def test_mlflow_holds_settings_curves_lineage_and_the_report(first):
    from tasks.tracking import EXPERIMENT, connect

    settings, _ = first
    client = connect(settings.home)
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["components.codec.codebook_size"] == "16"
    assert run.data.tags["lineage.quantize"].startswith("model/")
    assert len(client.get_metric_history(run.info.run_id, "train_speak/speak_loss")) == settings.train.speak.steps
    assert "report/report.html" in [item.path for item in client.list_artifacts(run.info.run_id, "report")]
    plots = {item.path for item in client.list_artifacts(run.info.run_id, "plots")}
    assert {f"plots/{n}.svg" for n in ("latency_time_to_first_audio", "train_speak_speak_loss")} <= plots


def test_the_plan_before_the_first_run_is_kept_in_its_mlflow_run(first):
    from tasks.tracking import EXPERIMENT, connect

    settings, _ = first
    client = connect(settings.home)
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], order_by=["start_time"])
    plan = mlflow_dict(client, runs[0].info.run_id, "plan.json")
    assert plan["champion"] == "there is no champion: all is new" and plan["stages_to_run"][0] == "ingest"


def mlflow_dict(client, run_id, name):
    import json

    return json.loads(Path(client.download_artifacts(run_id, name)).read_text())


def test_nothing_changed_nothing_is_computed(first):
    from tasks.plan import plan_of

    settings, _ = first
    plan = plan_of(settings)
    assert plan.stages_to_run == () and plan.champion == "compared with version 1, the champion"
    assert ran(settings) == set()


def test_a_swapped_codec_recomputes_only_what_depends_on_it(swapped):
    settings, planned, stages, _ = swapped
    assert stages == planned == {"fit codec", "speech targets", "train speak", "quantize", "check consistency",
                            "benchmark", "evaluate",
                            "compare", "report"}  # fmt: skip
    assert ran(settings) == set()  # the champion beside it is as it was, so nothing is timed again


def test_a_swapped_codec_writes_the_same_answers_and_verdict_report_and_command_line_say_so(swapped, capsys):
    from rich.console import Console

    from flows.summary import Journey, show
    from tasks.home import store_of

    settings, _, _, outcome = swapped
    said = "equal by construction: the same parts answered, and every turn came out the same"
    found = outcome.verdict.facts["comparisons"]
    assert found["answer_accuracy"]["rule"] == said and found["own_speech_wer"]["same_parts"] is None
    (reason,) = [reason for reason in outcome.verdict.facts["reasons"] if said in reason]
    assert reason.startswith("answer_accuracy: ")
    page = store_of(settings.home).folder(outcome.report) / "report.html"
    assert said in page.read_text()
    show(Console(width=1000), Journey("tiny", outcome, [], 0.0, page))
    assert said in capsys.readouterr().out


def test_the_champion_answered_in_turn_with_the_challenger(first):
    from tasks.home import store_of

    settings, outcome = first
    cards = [json.loads(path.read_text()) for path in Path(settings.home).glob("store/latency/*/card.json")]
    (card,) = [card for card in cards if "champion" in card["inputs"]]
    assert card["inputs"]["champion"] == outcome.evaluation.inputs["model"] != card["inputs"]["model"]
    assert card["facts"]["champion"]["time_to_first_audio_ms"]["p95"] > 0 < card["facts"]["champion"]["peak_memory_mb"]
    latency = store_of(settings.home).load(LatencyReport, card["digest"])
    rows = pq.read_table(store_of(settings.home).folder(latency) / PER_ANSWER).to_pylist()
    assert [row["who"] for row in rows[:4]] == ["challenger", "champion", "champion", "challenger"]
    asked = settings.benchmark.questions * settings.benchmark.rounds
    assert [sum(row["who"] == who for row in rows) for who in ("challenger", "champion")] == [asked, asked]
    assert all((row["total_s"] is None) == (row["round"] > 0) for row in rows)


def test_two_models_are_compared_by_name_timed_in_one_session_and_nothing_is_promoted(first):
    from data_contracts.errors import PromotionError
    from data_contracts.every_day import CompareRunSettings
    from flows.compare import compare
    from tasks.home import store_of
    from tasks.tracking import EXPERIMENT, connect

    settings, outcome = first
    client = connect(settings.home)
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    ours = f"model/{outcome.evaluation.inputs['model']}"
    (swapped,) = {run.info.run_id for run in runs if run.data.tags.get("lineage.quantize", ours) != ours}
    groups = {name: getattr(settings, name) for name in ("benchmark", "promote")}
    groups["compare"] = settings.compare.model_copy(update={"replicates": 250})  # not the verdict that is known
    chosen = CompareRunSettings(home=settings.home, challenger=swapped[:12], champion="champion", **groups)
    versions = client.search_model_versions()
    verdict = compare(chosen)
    assert client.search_model_versions() == versions
    last = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], max_results=1)[0]
    assert last.info.status == "FINISHED" and "lineage.compare" in last.data.tags
    with pytest.raises(PromotionError, match="has no version 'previous'"):
        compare(chosen.model_copy(update={"champion": "previous"}))
    latency = store_of(settings.home).load(LatencyReport, verdict.inputs["latency"])
    assert latency.inputs["champion"] == outcome.evaluation.inputs["model"] != latency.inputs["model"]
    assert "time_to_first_audio_p95_ms" in verdict.facts["comparisons"]


def test_a_swapped_language_model_starts_from_the_champion_as_the_plan_says(first, tmp_path):
    """And again at no cost: the start is in the cache key, and stays what it was."""
    from data_contracts.quantize import QuantizedModel
    from data_contracts.train import Checkpoint
    from flows.retrain import retrain
    from tasks.home import store_of
    from tasks.plan import plan_of
    from tasks.tracking import EXPERIMENT, connect

    settings, _ = first
    other = tiny.write_language_model(tmp_path / "other", tiny.turns(), width=48, seed=5)
    parts = settings.components
    language_model = parts.language_model.model_copy(update={"weights": str(other)})
    swapped = settings.model_copy(update={"components": parts.model_copy(update={"language_model": language_model})})
    plan, store = plan_of(swapped), store_of(settings.home)
    outcome = retrain(swapped)
    model = store.load(QuantizedModel, outcome.evaluation.inputs["model"])
    listen, speak = (store.load(Checkpoint, model.inputs[role]) for role in ("listen", "speak"))
    champion = plan.starts["train listen"]
    assert champion and listen.inputs["start"] == speak.inputs["start"] == plan.starts["train speak"] == champion
    assert {"start_alignment_loss_random", "start_alignment_loss_warm"} <= set(listen.facts)
    assert {"start_loss_random", "start_loss_warm"} <= set(speak.facts)
    client = connect(settings.home)
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], order_by=["start_time desc"])
    logged = runs[0].data.metrics
    assert logged["train_listen/start_alignment_loss_warm"] == pytest.approx(listen.facts["start_alignment_loss_warm"])
    page = (store.folder(outcome.report) / "report.html").read_text()
    assert "start_alignment_loss_random" in page and "start_alignment_loss_warm" in page
    assert "train listen" not in ran(swapped)


def test_a_source_that_vanished_is_one_sentence(first, tmp_path):
    from data_contracts.errors import SourceError
    from flows.retrain import retrain

    settings, _ = first
    gone = settings.ingest.model_copy(update={"sources": (str(tmp_path / "gone"),)})
    with pytest.raises(SourceError, match="gone' is not a folder"):
        retrain(settings.model_copy(update={"ingest": gone}))


def test_the_champion_s_latency_is_measured_anew_whatever_the_cache_holds(first):
    from data_contracts.every_day import BenchmarkRunSettings
    from flows.benchmark import benchmark
    from tasks.tracking import EXPERIMENT, connect

    settings, outcome = first
    latency = benchmark(BenchmarkRunSettings(home=settings.home, benchmark=settings.benchmark))
    assert latency.inputs["model"] == outcome.latency.inputs["model"] and latency.digest != outcome.latency.digest
    client = connect(settings.home)
    last = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], max_results=1)[0]
    assert (
        last.info.status == "FINISHED"
        and last.data.tags["lineage.benchmark"] == f"{latency.kind_name}/{latency.digest}"
    )


def test_a_champion_that_was_asked_other_questions_is_evaluated_on_the_challenger_s(first):
    """Here the other evaluation is of fewer turns; new test data gives another sealed set in the same way."""
    from prefect import flow

    from data_contracts.evaluate import EvaluationReport
    from data_contracts.ingest import Manifest
    from data_contracts.quantize import QuantizedModel
    from tasks.evaluate import evaluated_alike
    from tasks.home import store_of

    settings, outcome = first
    store = store_of(settings.home)
    ours = outcome.evaluation
    model, manifest = store.load(QuantizedModel, ours.inputs["model"]), store.load(Manifest, ours.inputs["manifest"])
    assert evaluated_alike(ours, model, ours, manifest, settings.home) is ours
    other = ours.model_copy(update={"facts": ours.facts | {"sealed_set": "0" * 32}})

    @flow
    def again() -> EvaluationReport:
        return evaluated_alike(other, model, ours, manifest, settings.home)

    assert again().digest == ours.digest, "from the cache: it is the same model on the same manifest"


def test_a_challenger_that_people_prefer_beats_the_champion_and_one_command_takes_it_back(first, swapped, capsys):
    """The stages of the swapped codec are kept from above: what is new is the comparison, and what it rests on."""
    from data_contracts.evaluate import EvaluationReport
    from flows.cli import main
    from flows.retrain import retrain
    from tasks import registry
    from tasks.home import store_of

    settings, outcome = first
    other, _, _, lost = swapped
    assert lost.verdict.facts["decision"] != "PROMOTE" and not lost.promotion.facts["promoted"]

    store = store_of(settings.home)
    champion = store.load(EvaluationReport, lost.verdict.inputs["champion"])
    assert champion.inputs["model"] == outcome.evaluation.inputs["model"]
    preferred = prefer(store, champion.digest, lost.evaluation.digest)
    wide = dict.fromkeys(("wer_margin", "accuracy_margin", "mos_margin", "speaker_similarity_margin",
                          "time_to_first_audio_margin"), 1e6)  # fmt: skip
    compare = {"targets": ("listener_preference",), "listening_result": preferred.digest, "power": 0.0, **wide}
    won = retrain(other.model_copy(update={"compare": settings.compare.model_copy(update=compare)}))
    assert won.evaluation == lost.evaluation and won.verdict.inputs["listening"] == preferred.digest
    assert won.verdict.facts["decision"] == "PROMOTE", won.verdict.facts["reasons"]
    assert {"own_speech_wer", "distill_mos", "speaker_similarity"} <= set(won.verdict.facts["comparisons"])
    assert won.promotion.facts["promoted"] and won.promotion.facts["version"] == "2"
    assert aliases(settings) == {"champion": "2", "previous": "1"}
    assert (
        registry.versions(settings.home, settings.promote.registered_model)["2"].champion_before
        == champion.inputs["model"]
    )

    assert not main(["rollback", "--home", settings.home])
    assert aliases(settings)["champion"] == "1" and "1" in capsys.readouterr().out


def aliases(settings):
    from tasks import registry

    return registry.standing(settings.home, settings.promote.registered_model, settings.promote.alias).aliases


def prefer(store, champion, challenger):
    """The listening result of eight raters who all pick the challenger and pass every check."""
    import numpy as np

    from data_contracts.listening_test import ListeningTestSettings
    from omni_core.listening_test.answers import Answer, Session
    from omni_core.listening_test.prepare import prepare
    from omni_core.listening_test.result import conclude
    from omni_core.listening_test.trials import plan

    chosen = ListeningTestSettings(raters=8, pairs_per_rater=1, attention_checks=1)
    test = prepare(store, champion, challenger, chosen)
    listed = json.loads((store.folder(test) / "test.json").read_text())
    items, checks = ([one["item"] for one in listed[kind]] for kind in ("items", "checks"))
    sessions = []
    for number in range(8):
        trials = tuple(plan(items, checks, "ab", 1, [], np.random.default_rng(number)))
        given = tuple(Answer(trial.right or "b", 900, 1, 1) for trial in trials)
        sessions.append(Session(f"rater-{number}", number, trials, given))
    return conclude(store, test, sessions)
