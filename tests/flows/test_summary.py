import io
from pathlib import Path

from rich.console import Console

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.consistency import ConsistencyReport
from data_contracts.evaluate import EvaluationReport
from data_contracts.promote import Promotion
from data_contracts.report import Report
from data_contracts.retrain import Outcome
from flows.summary import Journey, publish, score_table, stage_table
from tasks.stage import StageRun


def artifact(cls, **facts):
    return cls(digest="d", kind_name=cls.kind, facts=facts)


def metric(value: float) -> dict:
    return {"value": value, "unit": "fraction", "better": "lower", "count": 9}


def journey(title: str, own_speech_wer: float) -> Journey:
    metrics = {"own_speech_wer": metric(own_speech_wer), "codec_wer": metric(0.05), "teacher_wer": metric(0.04)}
    latency = {"time_to_first_audio_ms": {"p50": 500, "p95": 900}, "real_time_factor": {"p50": 0.4, "p95": 0.6}}
    checks = [
        {"check": "answers end", "passed": True},
        {"check": "silence gives no speech", "passed": own_speech_wer < 0.1},
    ]
    outcome = Outcome(
        consistency=artifact(ConsistencyReport, checks=checks),
        latency=artifact(LatencyReport, **latency),
        evaluation=artifact(EvaluationReport, metrics=metrics),
        verdict=artifact(Verdict, decision="PROMOTE", reasons=["better"]),
        report=artifact(Report),
        promotion=artifact(Promotion),
    )
    stages = [StageRun("ingest", 2.0, False), StageRun("features", 1.0, True), StageRun("features", 3.0, False)]
    return Journey(title, outcome, stages, 60.0, Path("report.html"))


def shown(table) -> str:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_mapped_stages_are_one_row():
    text = shown(stage_table(journey("quickstart", 0.08)))
    assert "features │ 2     │ 4.0     │ 1 of 2" in text


def test_scores_stand_beside_their_targets_a_column_a_run():
    text = shown(score_table([journey("quickstart", 0.08), journey("swap", 0.2)]))
    line = next(line for line in text.splitlines() if "own_speech_wer" in line)
    assert [cell.strip() for cell in line.split("│")[3:6]] == ["<= 0.10", "0.08", "0.2 missed"]
    assert "codec_loss_wer" in text and "time_to_first_audio_p95_ms" in text


def test_page_and_clips_are_published_under_the_title(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("page")
    (tmp_path / "report" / "card.json").write_text("{}")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.ogg").write_bytes(b"ogg")
    page = publish(tmp_path / "report", tmp_path / "clips", tmp_path / "home", "my run: 1/2")
    assert page == tmp_path / "home" / "reports" / "my-run-1-2" / "report.html" and page.read_text() == "page"
    assert [path.name for path in (page.parent / "clips").iterdir()] == ["a.ogg"]
    assert not (page.parent / "card.json").exists()


def test_a_model_that_is_not_consistent_says_in_what():
    text = shown(score_table([journey("quickstart", 0.08), journey("swap", 0.2)]))
    line = next(line for line in text.splitlines() if "consistency" in line)
    assert "passed" in line and "not so: silence gives no speech" in line
