"""Messages leave through a real Prefect webhook block and arrive at a real receiver on this machine."""

from types import SimpleNamespace

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.states import Completed, Crashed

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.errors import SettingsError
from data_contracts.evaluate import EvaluationReport
from data_contracts.notify import NotifySettings
from data_contracts.promote import Promotion
from data_contracts.report import Report
from data_contracts.retrain import Outcome, RetrainSettings
from tasks.notify import block_of, tell, tell_outcome
from tests.webhook import receiver

BLOCK = "custom-webhook/team"


@pytest.fixture(scope="module")
def received(prefect_server):
    """What a webhook on this machine was sent; the block custom-webhook/team sends there."""
    with receiver() as (here, messages):
        for name, port in (("team", here), ("nobody-home", 9)):
            CustomWebhookNotificationBlock(
                name=name, url=f"http://127.0.0.1:{port}/hook", json_data={"subject": "{{subject}}", "text": "{{body}}"}
            ).save(name, overwrite=True, _sync=True)
        Secret(value="x").save("mute", overwrite=True, _sync=True)
        yield messages


def outcome(decision: str, promoted: bool) -> Outcome:
    def made(kind, **facts):
        return kind(digest="0", kind_name=kind.kind, facts=facts)

    promotion = made(
        Promotion, registered_model="assistant", version="3", alias="champion", promoted=promoted, reason="won"
    )
    return Outcome(consistency=made(ConsistencyReport), latency=made(LatencyReport), evaluation=made(EvaluationReport), report=made(Report), promotion=promotion,
                   verdict=made(Verdict, decision=decision, reasons=["own_speech_wer: better"]))  # fmt: skip


def flow_run(**notify):
    settings = RetrainSettings(title="nightly", notify=NotifySettings(**notify))
    return SimpleNamespace(id="1", parameters={"settings": settings.model_dump(mode="json")})


def test_a_promotion_is_told_with_its_reasons(received):
    received.clear()
    tell_outcome(None, flow_run(block=BLOCK), Completed(data=outcome("PROMOTE", True)))
    (message,) = received
    assert message["subject"] == "nightly: PROMOTE"
    assert "assistant: won" in message["text"] and "own_speech_wer: better" in message["text"]


def test_a_crash_is_told_with_what_happened(received):
    received.clear()
    tell_outcome(None, flow_run(block=BLOCK), Crashed(message="the machine went away"))
    (message,) = received
    assert message["subject"] == "nightly: Crashed" and "the machine went away" in message["text"]


def test_only_occasions_that_were_asked_for_are_told(received):
    received.clear()
    tell_outcome(None, flow_run(block=BLOCK, occasions=("failed",)), Completed(data=outcome("REJECT", False)))
    tell_outcome(None, flow_run(block=""), Crashed(message="away"))
    assert received == []


def test_a_receiver_that_is_down_stops_nothing(received, caplog):
    assert not tell(NotifySettings(block="custom-webhook/nobody-home"), "failed", "nightly", "away")


@pytest.mark.parametrize(("block", "sentence"), [
    ("custom-webhook/taem", "there is no Prefect block 'custom-webhook/taem'"),
    ("team", "there is no Prefect block 'team'"),
    ("secret/mute", "'secret/mute' sends no notifications"),
])  # fmt: skip
def test_a_block_that_cannot_tell_is_refused_before_the_run(received, block, sentence):
    with pytest.raises(SettingsError, match=sentence):
        block_of(NotifySettings(block=block))
