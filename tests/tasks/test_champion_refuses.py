"""Bad input of a promotion: refused with what to do, and nothing moved."""

import base64
import time
from datetime import timedelta

import numpy as np
import pytest

from data_contracts.errors import ArtifactError, PromotionError
from omni_core.audio import encode_wav
from tasks import champion, registry, tracking
from tests.tasks.registered import Place

QUESTION = base64.b64encode(encode_wav(0.3 * np.ones(800, np.float32), 16_000)).decode()
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("small_models")]


@pytest.fixture
def refusing(place):
    """A place that must stand as before when the test is over."""
    before = place.standing
    yield place
    assert place.standing == before and place.the_one_champion() == "1"


def test_an_altered_weight_file_is_named(refusing):
    path = next(refusing.package("2").glob("artifacts/*/weights.txt"))
    text = path.read_text()
    path.write_text(text.replace("b", "x", 1))
    with pytest.raises(ArtifactError, match=r"version 2 of .* was altered .* 'weights.txt' .* restore .* run the flow"):
        refusing.promote("2")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"version 2 of .* has lost 'weights.txt'"):
        refusing.promote("2")
    path.write_text(text)


def test_altered_code_and_an_altered_verdict_in_a_version_are_noticed(refusing):
    folder = refusing.package("2")
    for path in (folder / "parrot.py", folder / "artifacts" / "proof" / "verdict.json"):
        text = path.read_text()
        path.write_text(text + " ")
        with pytest.raises(PromotionError, match=r"version 2 of .* was altered .* nothing was promoted"):
            refusing.promote("2")
        path.write_text(text)


def test_a_version_whose_files_are_gone_is_refused(refusing):
    folder = refusing.package("2")
    folder.rename(folder.with_name("gone"))
    with pytest.raises(ArtifactError, match=r"models:/.*/2 has lost its artifacts .* backup"):
        refusing.promote("2")
    with pytest.raises(PromotionError, match="cannot be loaded"):
        registry.load_version(refusing.home, refusing.name, "2")
    folder.with_name("gone").rename(folder)


def test_a_version_that_answers_otherwise_than_it_was_evaluated_is_refused(refusing, monkeypatch):
    real = registry.load_package

    def other_voice(folder, what):
        loaded = real(folder, what)
        loaded.unwrap_python_model().voice = "somebody else"
        return loaded

    monkeypatch.setattr(registry, "load_package", other_voice)
    with pytest.raises(PromotionError, match="probe 1 with 'somebody else heard 8000 samples' instead of 'b heard"):
        refusing.promote("2")


def test_what_cannot_be_promoted_is_said(refusing):
    with pytest.raises(PromotionError, match=r"version 3 of .* was compared with model .* run the flow again"):
        refusing.promote("3")
    with pytest.raises(PromotionError, match=r"version 1 of .* is the champion already"):
        refusing.promote("1")
    with pytest.raises(PromotionError, match=r"there is no version 9 of .*; there are: 1, 2, 3, 4"):
        refusing.promote("9")


def test_a_verdict_tag_that_says_otherwise_is_refused(refusing):
    refusing.client.set_model_version_tag(refusing.name, "2", "decision", "REJECT")
    with pytest.raises(PromotionError, match=r"the verdict on version 2 of .* is REJECT; nothing was promoted"):
        refusing.promote("2")


def test_a_version_that_a_hand_registered_is_refused(refusing):
    source = refusing.client.get_model_version(refusing.name, "2").source
    tags = {"decision": "PROMOTE", "champion_before": registry.versions(refusing.home, refusing.name)["1"].model}
    number = str(refusing.client.create_model_version(refusing.name, source, tags=tags).version)
    with pytest.raises(PromotionError, match="was registered by hand, nothing proves it"):
        refusing.promote(number)
    refusing.client.delete_model_version(refusing.name, number)


def test_a_clock_before_the_last_promotion_is_refused(refusing, monkeypatch):
    real = champion._Clock.now
    monkeypatch.setattr(champion._Clock, "now", lambda clock: real(clock) - timedelta(hours=3))
    with pytest.raises(
        PromotionError, match=r"this machine's clock says .* before line 1 of the history .* set the clock"
    ):
        refusing.promote("2")


def test_a_clock_that_is_set_during_a_promotion_is_refused(refusing, monkeypatch):
    real = champion._prove

    def slow(*words):
        real(*words)
        monkeypatch.setattr(champion.time, "clock_gettime", lambda _: 1e9)

    monkeypatch.setattr(champion, "_prove", slow)
    with pytest.raises(PromotionError, match=r"the clock was set from .* see that it is right"):
        refusing.promote("2")


def test_a_registry_that_is_down_is_one_sentence_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "USERS_SERVER", "http://127.0.0.1:9")
    place, start = Place(str(tmp_path), "parrot"), time.monotonic()
    for attempt in (place.current, lambda: place.promote("1"), place.roll_back):
        with pytest.raises(
            PromotionError, match=r"registry http://127.0.0.1:9 does not answer .* nothing was promoted"
        ):
            attempt()
    assert time.monotonic() - start < 5


def test_a_registry_that_goes_down_between_the_proof_and_the_line_moves_nothing(refusing, monkeypatch):
    real = champion._prove

    def prove_and_go_down(*words):
        real(*words)
        monkeypatch.setattr(tracking, "USERS_SERVER", "http://127.0.0.1:9")

    with monkeypatch.context() as patch:
        patch.setattr(champion, "_prove", prove_and_go_down)
        with pytest.raises(PromotionError, match=r"registry http://127.0.0.1:9 does not answer"):
            refusing.promote("2")
    monkeypatch.setattr(tracking, "USERS_SERVER", None)


def test_a_database_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, it is a letter" * 100)
    with pytest.raises(PromotionError, match=r"refused to tell where parrot stands .* mend it"):
        Place(str(tmp_path), "parrot").current()


def test_a_champion_deleted_by_hand_is_noticed_and_a_rollback_goes_on_without_it(place):
    place.promote("2")
    place.client.delete_model_version(place.name, "2")
    for attempt in (place.current, lambda: place.promote("3")):
        with pytest.raises(
            PromotionError, match=r"version 2 .* deleted by hand; `omni rollback` goes back to version 1"
        ):
            attempt()
    assert place.roll_back().version == "1"
    place.client.delete_model_version(place.name, "1")
    with pytest.raises(PromotionError, match="deleted by hand; `omni rollback` notes that there is no champion"):
        place.current()
    assert place.roll_back().version == "" and place.current() is None


def test_an_alias_moved_or_deleted_by_hand_is_noticed_and_put_back(place):
    place.client.set_registered_model_alias(place.name, "champion", "3")
    with pytest.raises(PromotionError, match=r"two champions: its history says version 1 .* points to version 3"):
        place.promote("2")
    assert place.roll_back("1").version == place.the_one_champion() == "1"
    place.client.delete_registered_model_alias(place.name, "champion")
    with pytest.raises(PromotionError, match="was deleted by hand; `omni rollback --to 1` puts it back"):
        place.promote("2")
    assert place.roll_back("1").version == place.the_one_champion() == "1"


def test_two_aliases_that_differ_in_case_only_are_two_champions(refusing):
    refusing.client.set_registered_model_alias(refusing.name, "Champion", "2")
    for attempt in (lambda: refusing.promote("2"), refusing.roll_back):
        with pytest.raises(PromotionError, match=r"two champions: .* delete the alias 'Champion'"):
            attempt()
    refusing.client.delete_registered_model_alias(refusing.name, "Champion")


def test_a_history_deleted_by_hand_is_refused(refusing):
    run_id = refusing.client.get_registered_model(refusing.name).tags[registry.HISTORY_RUN]
    refusing.client.delete_run(run_id)
    with pytest.raises(PromotionError, match=r"history of .* was deleted by hand; restore that run"):
        refusing.promote("2")
    refusing.client.restore_run(run_id)
