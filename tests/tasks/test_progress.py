import io
import time
from types import SimpleNamespace

from rich.console import Console

from tasks import progress
from tasks.progress import Lines, lines, relayed, shown


def test_a_log_gets_a_line_at_the_start_and_then_one_in_a_while(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: now[0])
    lines = Lines("train", seconds_between=10)
    for step in range(41):
        lines(step, 100, f"steps, loss {step / 10}")
        now[0] += 1
    assert capsys.readouterr().err.splitlines() == [
        "train: steps, loss 0.0 0/100",
        "train: steps, loss 1.0 10/100, about 90 s left",
        "train: steps, loss 2.0 20/100, about 80 s left",
        "train: steps, loss 3.0 30/100, about 70 s left",
        "train: steps, loss 4.0 40/100, about 60 s left",
    ]


def test_a_line_is_one_write_so_that_two_branches_never_share_one(monkeypatch):
    written: list[str] = []
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=written.append, flush=lambda: None))
    told = Lines("train", seconds_between=0)
    told(1, 2, "steps")
    told.still_at_work()
    assert len(written) == 2 and all(line.startswith("train: ") and line.endswith("\n") for line in written)


def test_a_resumed_stage_is_not_thought_to_be_faster_than_it_is(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tasks.progress.time.monotonic", lambda: now[0])
    lines = Lines("train", seconds_between=10)
    lines(80, 100, "steps")
    now[0] = 10.0
    lines(90, 100, "steps")
    assert capsys.readouterr().err.splitlines()[-1] == "train: steps 90/100, about 10 s left"


def test_without_a_terminal_lines_are_written(capsys):
    with shown("ingest") as progress:
        progress(1, 2, "records")
    assert "ingest: records 1/2" in capsys.readouterr().err


def test_in_a_log_long_work_that_reports_nothing_is_told_to_go_on(capsys):
    with lines("quantize", seconds_between=0.05) as report:
        time.sleep(0.2)
        report(1, 3, "folder assembled")
        time.sleep(0.2)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "quantize: at work, for 0 s" and "quantize: folder assembled 1/3, for 0 s" in said
    assert len(said) < 12  # and no line at every report


def on_a_terminal(monkeypatch) -> Console:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(progress, "_console", terminal)
    return terminal


def test_on_a_terminal_a_bar_tells_how_far_it_is_and_the_time_left(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with shown("ingest") as report, shown("train speak"):
        for step in range(3):
            report(step, 4, "records")
            time.sleep(0.01)
        progress._bars.refresh()
        display = terminal.file.getvalue()
    assert "ingest: records" in display and "50%" in display and "train speak" in display
    assert "left 0:00:0" in display and progress._bars is None


def test_a_stage_in_another_process_is_shown_before_it_reports(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with relayed("train listen") as show:
        progress._bars.refresh()
        assert "train listen" in terminal.file.getvalue() and "alignment" not in terminal.file.getvalue()
        show("train listen", 1, 2, "alignment")
        progress._bars.refresh()
        assert [task.description for task in progress._bars.tasks] == ["train listen: alignment"]


def test_a_line_for_who_waits_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_console", Console(stderr=True, width=40))
    progress.say("a local Prefect server is starting: this is longer than the terminal is wide")
    assert capsys.readouterr().err.count("\n") == 1
