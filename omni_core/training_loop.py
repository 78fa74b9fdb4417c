"""Steps of training enter, trained modules and their loss curve leave; killed at any step, it goes on from the last checkpoint.

The data of a step depends on the seed and the step's number only, so a resumed run sees what it would have seen.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from data_contracts.errors import StorageError
from omni_core.progress import Progress, silent

WARMUP_SHARE, START_DIVISOR = 0.1, 25.0
MAX_GRADIENT_NORM = 1.0
NEIGHBOURS = 8
"""A batch of like length is cut from so many batches' worth of examples."""


@dataclass
class Curve:
    """Named values over steps: rows of (step, name, value)."""

    rows: list[tuple[int, str, float]] = field(default_factory=list)

    def add(self, step: int, **values: float) -> None:
        """Append a value a name."""
        self.rows += [(step, name, float(value)) for name, value in values.items()]

    def last(self, name: str) -> float:
        """Latest value of a name."""
        return next(value for _, n, value in reversed(self.rows) if n == name)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a phase trains, and how often it is kept."""

    steps: int
    learning_rate: float
    """Peak of the one-cycle rate."""
    seed: int
    checkpoint_every: int
    final_learning_rate: float = 0.0
    """Where the rate ends; 0: a 250 000th of the peak."""


def one_cycle(optimizer: torch.optim.Optimizer, schedule: Schedule) -> torch.optim.lr_scheduler.OneCycleLR:
    """Up from a 25th of the peak, then down by a cosine; at its end when the last step was taken."""
    peak, final = schedule.learning_rate, schedule.final_learning_rate
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=schedule.steps + 1, pct_start=WARMUP_SHARE, div_factor=START_DIVISOR,
        final_div_factor=peak / START_DIVISOR / min(final, peak) if final else 1e4,
    )  # fmt: skip


def step_generator(seed: int, step: int) -> torch.Generator:
    """Randomness of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def batches_alike(lengths: Sequence[int], batch: int, seed: int) -> Callable[[int], list[int]]:
    """Step -> rows of its batch, of like length: padding is work for nothing (a fifth of a step). Every row comes up once a round.

    Rows are shuffled, sorted within pools of NEIGHBOURS batches and cut, and the batches shuffled, anew each round.
    """

    @lru_cache(maxsize=1)
    def batches_of(round_: int) -> list[list[int]]:
        generator = step_generator(seed, round_)
        order = torch.randperm(len(lengths), generator=generator).tolist()
        pools = [order[at : at + NEIGHBOURS * batch] for at in range(0, len(order), NEIGHBOURS * batch)]
        sorted_pools = [sorted(pool, key=lambda row: lengths[row]) for pool in pools]
        cut = [pool[at : at + batch] for pool in sorted_pools for at in range(0, len(pool), batch)]
        return [cut[index] for index in torch.randperm(len(cut), generator=generator).tolist()]

    steps = -(-len(lengths) // batch)
    return lambda step: batches_of(step // steps)[step % steps]


def run(
    phase: str,
    module: nn.Module,
    loss_of: Callable[[int], dict[str, Tensor]],
    schedule: Schedule,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> None:
    """Train `module` in place by AdamW under a one-cycle rate.

    loss_of(step) -> named losses, of which the first is minimised. A checkpoint (<work>/<phase>.pt: weights,
    optimizer, step, curve) is written whole every so many steps and at the end, and found again.
    """
    steps = schedule.steps
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    rate = one_cycle(optimizer, schedule)
    path = work / f"{phase}.pt"
    start = _resume(path, module, optimizer, rate, curve)
    module.train()
    for step in range(start, steps):
        torch.manual_seed(schedule.seed * 1_000_003 + step)  # dropout of a resumed run is that of an uninterrupted one
        optimizer.zero_grad()  # first, for loss_of may have summed gradients of its own
        losses = loss_of(step)
        next(iter(losses.values())).backward()
        nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        optimizer.step()
        rate.step()
        values = {name: loss.item() for name, loss in losses.items()}
        curve.add(step + 1, **{f"{phase}_{name}": value for name, value in values.items()})
        progress(step + 1, steps, f"{phase}, " + ", ".join(f"{k} {v:.2f}" for k, v in values.items()))
        if (step + 1) % schedule.checkpoint_every == 0 or step + 1 == steps:
            _save(path, module, optimizer, rate, step + 1, curve)
    module.eval()


def _save(path: Path, module: nn.Module, optimizer, schedule, step: int, curve: Curve) -> None:
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    weights = {name: value for name, value in module.state_dict().items() if name in trained}
    state = {"module": weights, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
             "step": step, "curve": json.dumps(curve.rows)}  # fmt: skip
    part, buffer = path.with_suffix(".part"), io.BytesIO()
    torch.save(state, buffer)  # straight to a file, it says of a full disk only "unexpected pos 576 vs 534"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(buffer.getbuffer())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write the checkpoint {path}: {error.strerror}; free some space and start again, "
            "training goes on from the checkpoint before"
        ) from error


def _resume(path: Path, module: nn.Module, optimizer, schedule, curve: Curve) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    curve.rows = [tuple(row) for row in json.loads(state["curve"])]
    return state["step"]
