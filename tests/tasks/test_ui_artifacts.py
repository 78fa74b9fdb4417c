"""What Prefect's UI gets to show, read back from a real server."""

import json
from dataclasses import asdict

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from omni_core.listening_test.verdict import ListenerPreference
from omni_core.paired_scores import Comparison
from tasks import ui_artifacts
from tasks.progress import shown
from tasks.stage import stage

WER = Comparison(
    name="own_speech_wer", unit="fraction", better="lower", challenger=0.10, champion=0.12, gain=0.02, lower=0.01,
    upper=0.03, standard_error=0.005, p_value=0.001, margin=0.005, n=150, speakers=7, clusters=7, degrees_of_freedom=6.0,
    power=0.9, times_more=1.0, detectable_gain=0.01, gain_unit="fraction",
)  # fmt: skip


def card(kind, **facts):
    return kind(digest="0", kind_name=kind.kind, facts=facts)


@pytest.fixture
def latency():
    return card(LatencyReport, time_to_first_audio_ms={"p50": 400.2, "p95": 612.9}, peak_memory_mb=1105, passed=True,
                real_time_factor={"p50": 0.48, "p95": 0.57}, reasons=[], answers=30, hardware="x86_64, 2 threads")  # fmt: skip


def artifacts(key: str):
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return sorted(found, key=lambda artifact: artifact.created, reverse=True)  # others tell the same server


def test_the_verdict_is_a_row_a_figure_with_its_bounds_and_rule(prefect_server):
    verdict = card(Verdict, decision="PROMOTE", reasons=["better"], intervals={},
                   comparisons={"own_speech_wer": asdict(WER) | {"rule": "better: ..."}})  # fmt: skip
    ui_artifacts.show_verdict(card(EvaluationReport, metrics={}), verdict)
    shown_there, *_ = artifacts("verdict")
    assert shown_there.description == "**PROMOTE**\n\n- better"
    assert json.loads(shown_there.data) == [{
        "figure": "own_speech_wer", "challenger": "10.0 %", "champion": "12.0 %", "gain": "+2.0 points",
        "bounds": "+1.0 points to +3.0 points", "turns": "150", "rule": "better: ...",
    }]  # fmt: skip


def test_what_listeners_preferred_is_a_row_among_the_figures():
    heard = ListenerPreference("listener_preference", "fraction", "higher", 0.625, 0.375, 0.25, 0.1, 0.4, 0.05, 0.01, 0.1,
                               160, 8, 0.95)  # fmt: skip
    verdict = card(Verdict, comparisons={"own_speech_wer": asdict(WER), "listener_preference": asdict(heard)})
    row = ui_artifacts.verdict_rows(card(EvaluationReport, metrics={}), verdict)[1]
    assert (row["challenger"], row["gain"], row["turns"]) == ("62.5 %", "+25.0 points", "160")


def test_without_a_champion_the_table_holds_the_figures_with_their_intervals():
    metrics = {"own_speech_wer": {"value": 0.118, "unit": "fraction", "count": 90, "better": "lower"}}
    verdict = card(Verdict, comparisons={}, intervals={"challenger": {"own_speech_wer": [0.097, 0.138]}})
    (row,) = ui_artifacts.verdict_rows(card(EvaluationReport, metrics=metrics), verdict)
    assert row["challenger"] == "11.8 %" and row["bounds"] == "9.7 % to 13.8 %"


def test_the_latency_says_what_was_measured_and_whether_it_is_enough(prefect_server, latency):
    ui_artifacts.show_latency(latency)
    shown_there, *_ = artifacts("latency")
    assert shown_there.description == "30 answers on x86_64, 2 threads; gate: passed"
    assert json.loads(shown_there.data)[0] == {"figure": "time to first audio", "p50": "400 ms", "p95": "613 ms"}


def test_a_champion_timed_in_the_same_session_stands_beside(latency):
    times = {"time_to_first_audio_ms": {"p50": 500, "p95": 700}, "real_time_factor": {"p50": 0.5, "p95": 0.6}}
    rows = ui_artifacts.latency_rows(card(LatencyReport, **latency.facts, champion=times))
    assert rows[0]["champion p95"] == "700 ms" and rows[2]["champion p50"] == ""


@stage(cached=False)
def works_long(home: str) -> int:
    """A stage that tells how far it is."""
    with shown("works utterances/question-00_1.parquet") as progress:
        progress(1, 4, "steps")
        progress(2, 4, "steps")
    return 4


@flow
def small(home: str) -> int:
    return works_long(home)


def test_a_task_s_progress_is_an_artifact_that_ends_at_a_hundred(prefect_server, tmp_path):
    assert small(str(tmp_path)) == 4
    (shown_there,) = artifacts("progress-works-long")
    assert (
        float(shown_there.data) == 100.0 and shown_there.description == "works utterances/question-00_1.parquet: done"
    )


def test_the_progress_of_a_task_has_no_key_of_what_a_run_shows():
    """The task `report`, when it took two seconds, stood in place of the link to the report."""
    assert ui_artifacts.ProgressArtifact("report", "report").key == "progress-report"


def test_a_server_that_takes_no_artifact_stops_nothing(monkeypatch, latency):
    def refuses(*_, **__):
        raise ConnectionError("the server went away")

    monkeypatch.setattr(ui_artifacts, "create_table_artifact", refuses)
    monkeypatch.setattr(ui_artifacts, "create_progress_artifact", refuses)
    ui_artifacts.show_latency(latency)
    progress = ui_artifacts.ProgressArtifact("train", "train speak")
    progress(1, 2, "steps")
    assert progress.broken
