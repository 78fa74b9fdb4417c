from tasks.progress import Lines, shown


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
