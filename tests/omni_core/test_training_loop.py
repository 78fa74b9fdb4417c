"""Killed training goes on as if it had never stopped."""

from shutil import disk_usage

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from data_contracts.errors import StorageError
from omni_core.progress import silent
from omni_core.training_loop import Curve, Schedule, batches_alike, run, step_generator


class Killed(Exception):
    pass


def train(work, steps=12, kill_at=None, width=8, progress=silent):
    torch.manual_seed(0)
    model, curve = nn.Sequential(nn.Linear(3, width), nn.Dropout(0.5), nn.Linear(width, 1)), Curve()

    def loss_of(step):
        if step == kill_at:
            raise Killed
        x = torch.randn(16, 3, generator=step_generator(0, step))
        return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()}

    run("phase", model, loss_of, Schedule(steps, 1e-2, seed=0, checkpoint_every=5), work, curve, progress)
    return model, curve


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    whole, whole_curve = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "cut", kill_at=8)
    resumed, curve = train(tmp_path / "cut")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    assert [tuple(row) for row in curve.rows] == whole_curve.rows


def test_a_finished_phase_is_not_trained_again(tmp_path):
    first, _ = train(tmp_path)
    again, curve = train(tmp_path, kill_at=0)
    assert torch.equal(first[0].weight, again[0].weight)
    assert curve.rows[-1][0] == 12


def test_a_full_disk_says_so_and_keeps_the_checkpoint_before(small_disk):
    def fill_up(step: int, *_: object) -> None:
        if step == 7:
            (small_disk / "other").write_bytes(b"0" * (disk_usage(small_disk).free - (32 << 10)))

    with pytest.raises(
        StorageError, match=r"cannot write the checkpoint .*: No space left .*; free some space and start"
    ):
        train(small_disk / "work", width=4096, progress=fill_up)
    (kept,) = (small_disk / "work").iterdir()
    assert torch.load(kept, weights_only=True)["step"] == 5
    (small_disk / "other").unlink()
    resumed, _ = train(small_disk / "work", width=4096)
    whole, _ = train(small_disk.parent / "whole", width=4096)
    assert torch.equal(resumed[0].weight, whole[0].weight)


def test_training_lowers_the_loss(tmp_path):
    _, curve = train(tmp_path, steps=60)
    losses = [value for _, name, value in curve.rows if name == "phase_loss"]
    assert sum(losses[-10:]) < sum(losses[:10])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 16), st.integers(0, 3))
def test_every_example_comes_up_once_a_round_in_batches_of_like_length(lengths, batch, round_):
    steps = -(-len(lengths) // batch)
    batches = [batches_alike(lengths, batch, 0)(round_ * steps + at) for at in range(steps)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch


def test_batches_of_like_length_pad_less_than_shuffled_ones_and_differ_from_round_to_round():
    lengths = [5 + (row * 7919) % 40 for row in range(512)]

    def padding(batches):
        return sum(
            max(lengths[row] for row in rows) * len(rows) - sum(lengths[row] for row in rows) for rows in batches
        )

    first, second = ([batches_alike(lengths, 16, 0)(32 * r + at) for at in range(32)] for r in (0, 1))
    assert padding(first) < padding([list(range(at, at + 16)) for at in range(0, 512, 16)]) / 3
    assert first != second
