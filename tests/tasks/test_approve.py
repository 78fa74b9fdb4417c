"""A person's word before a promotion: on the terminal, through a paused run, and what promote makes of a no."""

import threading
import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_runs import resume_flow_run

from data_contracts.retrain import RetrainSettings
from tasks import approve, registry
from tasks.champion import current
from tasks.promote import promote
from tests.tasks import small_registry

APPROVED = {"approval": True, "registered_model": "parrot"}


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(registry, "SERVED_MODEL", small_registry.PARROT)


def settings(home, **promote):
    return RetrainSettings(title="nightly", home=str(home), promote=promote)


def test_nobody_is_asked_when_the_settings_do_not_say_so_or_nothing_won(tmp_path):
    model, verdict, *_ = small_registry.journey(tmp_path, "a")
    assert approve.approve(model, verdict, settings(tmp_path)) is None
    _, lost, *_ = small_registry.journey(tmp_path, "b", decision="REJECT")
    assert approve.approve(model, lost, settings(tmp_path, **APPROVED)) is None


def test_on_a_terminal_the_person_there_is_asked(capsys):
    yes = approve.asked_here("**Promote?**", lambda _: "y", is_terminal=True)
    assert yes.promote and yes.reason.startswith("approved by ") and capsys.readouterr().err == "Promote?\n"
    assert not approve.asked_here("Promote?", lambda _: "", is_terminal=True).promote


def test_where_nobody_can_be_asked_nothing_is_promoted_and_the_reason_says_how_to():
    word = approve.asked_here("Promote?", is_terminal=False)
    assert not word.promote and "`omni promote RUN`" in word.reason


def test_a_no_leaves_the_alias_where_it_is_and_a_yes_is_in_the_history(tmp_path, served, prefect_server):
    model, verdict, evaluation, champion, manifest = small_registry.journey(tmp_path, "a")
    chosen, home = small_registry.settings(), str(tmp_path)
    no = approve.Approval(promote=False, reason="refused by Ada: clipping")
    facts = promote.fn(model, verdict, evaluation, champion, manifest, chosen, home, no).facts
    assert not facts["promoted"] and facts["reason"] == "refused by Ada: clipping" and current(home, chosen) is None
    yes = approve.Approval(promote=True, reason="approved by Ada")
    assert promote.fn(model, verdict, evaluation, champion, manifest, chosen, home, yes).facts["promoted"]
    line = registry.standing(home, chosen.registered_model, chosen.alias).history[-1]
    assert line.reason.startswith("approved by Ada; own_speech_wer: better")


def test_a_run_without_a_deployment_pauses_until_it_is_resumed_with_an_answer(
    tmp_path, served, prefect_server, monkeypatch
):
    monkeypatch.setattr(approve, "SECONDS_BETWEEN_LOOKS", 1)
    model, verdict, *_ = small_registry.journey(tmp_path, "a")
    started, words = [], []

    @flow
    def waits():
        from prefect.runtime import flow_run

        started.append(flow_run.id)
        words.append(approve.approve(model, verdict, settings(tmp_path, **APPROVED)))

    thread = threading.Thread(target=waits)
    thread.start()
    with get_client(sync_client=True) as client:
        while not (started and client.read_flow_run(started[0]).state.is_paused()):
            time.sleep(0.1)
    time.sleep(0.5)  # the form is saved right after the state
    resume_flow_run(started[0], run_input={"decision": "promote", "by": "Ada", "note": "heard it"}, _sync=True)
    thread.join(30)
    (word,) = words
    assert word.promote and word.reason == "approved by Ada: heard it"
