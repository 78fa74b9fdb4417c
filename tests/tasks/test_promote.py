"""The stage of the flow, outside of a flow: registering with proof, the verdict's say, and what a run left undone."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from data_contracts.errors import ArtifactError, PromotionError
from data_contracts.quantize import QuantizedModel
from tasks import registry, tracking
from tasks.home import store_of
from tasks.promote import current_champion, promote, promote_run

spec = importlib.util.spec_from_file_location("small_registry", Path(__file__).with_name("small_registry.py"))
small = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)
SETTINGS = small.settings()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def parrot(monkeypatch):
    monkeypatch.setattr(registry, "SERVED_MODEL", small.PARROT)


def run(home, *words, settings=SETTINGS, **changes):
    model, verdict, evaluation, champion, manifest = small.journey(home, *words)
    made = {"model": model, "verdict": verdict, "evaluation": evaluation, "champion": champion, "manifest": manifest}
    return promote.fn(**(made | changes), settings=settings, home=home)


@pytest.fixture(scope="module")
def first(home):
    registry.SERVED_MODEL, real = small.PARROT, registry.SERVED_MODEL
    promotion = run(home, "a")
    registry.SERVED_MODEL = real
    return promotion


def test_a_winner_is_registered_and_becomes_champion(home, first):
    assert first.facts == {"registered_model": "parrot", "version": "1", "alias": "champion", "promoted": True,
                           "reason": "own_speech_wer: better; against None"}  # fmt: skip
    assert current_champion.fn(small.model(home, "b"), SETTINGS, home).digest == small.model(home, "a").digest
    assert current_champion.fn(small.model(home, "a"), SETTINGS, home) is None


def test_the_version_tells_verdict_lineage_licences_and_carries_its_card(home, first):
    found = tracking.connect(home).get_model_version("parrot", "1")
    _, verdict, _, _, manifest = small.journey(home, "a")
    assert found.tags["verdict"] == verdict.digest and found.tags["decision"] == "PROMOTE"
    assert json.loads(found.tags["lineage"])["manifest"] == manifest.digest
    assert json.loads(found.tags["licences"])["texts"] == "Apache-2.0"
    assert found.description.startswith("# parrot") and "own_speech_wer: better" in found.description
    paths = [item.path for item in tracking.connect(home).list_artifacts(found.run_id)]
    assert "model_card.md" in paths


def test_a_version_declares_its_signature_and_holds_no_pickle(home, first):
    with registry.package_of(home, "models:/parrot/1") as folder:
        names = {path.name for path in folder.rglob("*")}
        assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".bin"))]
        assert {"parrot.py", "omni_core", "data_contracts", "verdict.json", "question-2.wav", "model_card.md"} <= names
        assert "python_model:" not in (folder / "MLmodel").read_text()  # that would be a cloudpickle
    signature = registry.load_version(home, "parrot", "@champion").metadata.signature
    assert signature.inputs.input_names() == ["audio"]
    assert signature.outputs.input_names() == ["audio", "text", "sample_rate_hz", "outcome"]


def test_the_champion_again_is_left_as_it_is(home, first):
    assert run(home, "a").facts["reason"] == "this model is the champion already"
    assert len(registry.versions(home, "parrot")) == 1


def test_a_loser_is_not_even_registered(home, first):
    promotion = run(home, "l", "a", "INCONCLUSIVE")
    assert not promotion.facts["promoted"] and promotion.facts["version"] == "1"
    assert promotion.facts["reason"] == "INCONCLUSIVE: the alias stays"
    assert len(registry.versions(home, "parrot")) == 1


def test_an_edited_verdict_promotes_nobody(home, first):
    model, verdict, evaluation, champion, manifest = small.journey(home, "e", "a", "REJECT")
    path = store_of(home).folder(verdict) / "verdict.json"
    whole = path.read_text()
    edited = verdict.model_copy(update={"facts": verdict.facts | {"decision": "PROMOTE"}})
    with pytest.raises(ArtifactError, match="was altered: its card says PROMOTE"):
        promote.fn(model, edited, evaluation, champion, manifest, SETTINGS, home)
    path.write_text(whole.replace("REJECT", "PROMOT"))
    with pytest.raises(ArtifactError, match=r"'verdict.json' was altered"):
        promote.fn(model, verdict, evaluation, champion, manifest, SETTINGS, home)
    path.write_text(whole)
    assert len(registry.versions(home, "parrot")) == 1


def test_a_champion_that_changed_meanwhile_is_said_before_anything_is_registered(home, first):
    with pytest.raises(PromotionError, match="the champion of parrot changed while this run was at work"):
        run(home, "s", "another")
    assert len(registry.versions(home, "parrot")) == 1


def test_what_a_killed_promotion_has_registered_is_found_again(home, first, monkeypatch):
    from tasks import champion

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(champion, "promote_version", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(home, "b", "a")
    assert len(registry.versions(home, "parrot")) == 2
    assert run(home, "b", "a").facts["version"] == "2" and len(registry.versions(home, "parrot")) == 2


def test_a_champion_that_the_store_has_lost_comes_back_from_the_registry(home, first):
    settings = small.settings("lost")
    run(home, "lost", settings=settings)
    gone = small.model(home, "lost")
    shutil.rmtree(Path(home) / "store" / QuantizedModel.kind / gone.digest)
    back = current_champion.fn(small.model(home, "b"), settings, home)
    assert back.digest == gone.digest and store_of(home).verify(back)


def test_a_run_that_was_stopped_before_it_registered_can_be_promoted_by_its_id(home, first):
    settings = small.settings("by-run")
    model, verdict, evaluation, _, manifest = small.journey(home, "r")
    flow = tracking.FlowRun("flow-r", home)
    stages = {"ingest": manifest, "quantize": model, "evaluate": evaluation}
    for stage, made in stages.items():
        tracking.log_stage(flow, stage, made)
    run_id = tracking.run_of(flow)
    with pytest.raises(PromotionError, match=f"run {run_id} has no compare: it did not come to a verdict"):
        promote_run(run_id, settings, home)
    tracking.log_stage(flow, "compare", verdict)
    tracking.close_run("flow-r", "FAILED")
    assert promote_run(run_id[:8], settings, home) == "1"
    assert tracking.connect(home).get_run(run_id).info.status == "FAILED"
    with pytest.raises(PromotionError, match=r"no runs of .* begin with 'zzz'"):
        promote_run("zzz", settings, home)
