"""`omni online` reads paired scores of live traffic and says what stands."""

import numpy as np
import pytest

from data_contracts.errors import SettingsError, SourceError
from flows.cli import main
from omni_core.online_scores import read_paired, sentence


def write(folder, rows, header="challenger,champion"):
    path = folder / "scores.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [(["1,0"] * 40, "the challenger is better"), (["0,1"] * 40, "the challenger is worse"), (["1,0", "0,1"], "open")],
)
def test_the_command_says_better_worse_or_open_with_bounds_and_count(tmp_path, capsys, rows, said):
    assert main(["online", str(write(tmp_path, rows))]) == 0
    told = capsys.readouterr().out
    assert told.startswith(said) and f"{len(rows)} answers" in told and "one-sided 95% bounds" in told


def test_bounds_hold_the_gain_and_a_loss_within_the_margin_is_not_worse():
    worth = np.where(np.arange(400) % 5 == 0, -1.0, 0.0)
    assert sentence(worth, 0.95).startswith("the challenger is worse (gain -0.200")
    assert sentence(worth, 0.95, margin=0.5).startswith("open")


@pytest.mark.parametrize(
    ("rows", "header", "mend"),
    [
        (["1,0", "2,0"], "challenger,champion", "line 3 of .* '2' is no score from 0 to 1"),
        (["1"], "challenger,champion", "line 2 of .* 'None' is no score"),
        ([], "challenger,champion", "holds no answer yet"),
        (["1,0"], "a,b", "no column challenger and no column champion"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, rows, header, mend):
    with pytest.raises(SourceError, match=mend):
        read_paired(write(tmp_path, rows, header))


def test_a_confidence_that_proves_nothing_is_refused():
    with pytest.raises(SettingsError, match="--confidence 1 must lie"):
        sentence(np.zeros(3), 1.0)


def test_a_file_that_is_not_there_is_code_two(tmp_path, capsys):
    assert main(["online", str(tmp_path / "none.csv")]) == 2 and "none.csv" in capsys.readouterr().err
