"""Speech targets and language model states of the answers enter; a talker that speaks them leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_contracts.errors import SourceError
from data_contracts.train import SpeakSettings
from omni_core.progress import Progress, silent
from omni_core.speech_heads.talker import Conditioning, Talker
from omni_core.training_loop import Curve, Schedule, batches_alike, run

LATENT_WEIGHT, DURATION_WEIGHT, PROSODY_WEIGHT = 3.0, 0.3, 0.1


@dataclass(frozen=True)
class SpokenAnswer:
    """One training example: all (phonemes,) but codes (codebooks, frames) and states (words, width)."""

    phonemes: Tensor
    words: Tensor
    durations: Tensor
    log_f0: Tensor
    energy: Tensor
    codes: Tensor
    states: Tensor


def conditioning(answers: list[SpokenAnswer]) -> Conditioning:
    """A padded batch."""

    def pad(values: list[Tensor]) -> Tensor:
        return pad_sequence(values, batch_first=True)

    return Conditioning(
        phonemes=pad([a.phonemes for a in answers]),
        words=pad([a.words for a in answers]),
        states=pad([a.states[a.words].float() for a in answers]),
        mask=pad([torch.ones(len(a.phonemes)) for a in answers]),
        durations=pad([a.durations for a in answers]),
        log_f0=pad([a.log_f0 for a in answers]),
        energy=pad([a.energy for a in answers]),
    )


def set_prosody_scale(talker: Talker, answers: list[SpokenAnswer]) -> None:
    """Pitch and energy are learned in units of the voice's own mean and deviation."""
    log_f0 = torch.cat([a.log_f0 for a in answers])
    energy = torch.cat([a.energy for a in answers])
    voiced = log_f0[log_f0 > 0]
    if len(voiced) < 2:
        raise SourceError("the answers' audio has no voiced speech; check that the recordings are speech")
    talker.prosody_mean.copy_(torch.stack([voiced.mean(), energy.mean()]))
    talker.prosody_std.copy_(torch.stack([voiced.std(), energy.std()]).clamp(min=1e-3))


def _losses(
    talker: Talker, batch: list[SpokenAnswer], code_dropout: float, decoded: int | None = None
) -> dict[str, Tensor]:
    counts = torch.tensor([a.codes.shape[1] for a in batch])
    codes = pad_sequence([a.codes.T for a in batch], batch_first=True).transpose(1, 2)
    losses = talker.losses(conditioning(batch), codes, counts, code_dropout, decoded)
    total = (
        losses["codes"]
        + LATENT_WEIGHT * losses["latent"]
        + DURATION_WEIGHT * losses["duration"]
        + PROSODY_WEIGHT * losses["prosody"]
    )
    return {"loss": total, **losses}


def train(
    talker: Talker,
    answers: list[SpokenAnswer],
    settings: SpeakSettings,
    steps: int,
    work: Path,
    curve: Curve,
    progress: Progress = silent,
) -> None:
    """Train in place; bfloat16 multiplications, float32 weights. steps: settings.steps_from(...)."""
    set_prosody_scale(talker, answers)
    drawn = batches_alike([answer.codes.shape[1] for answer in answers], settings.batch, settings.seed)

    def loss_of(step: int) -> dict[str, Tensor]:
        batch = [answers[row] for row in drawn(step)]
        with torch.autocast("cpu", torch.bfloat16):
            return _losses(talker, batch, settings.code_dropout, settings.decoded)

    schedule = Schedule(steps, settings.learning_rate, settings.seed, settings.checkpoint_every_steps)
    run("speak", talker, loss_of, schedule, work, curve, progress)


@torch.no_grad()
def validate(talker: Talker, answers: list[SpokenAnswer]) -> dict[str, float]:
    """Mean losses on held-out answers, teacher forced, no dropout."""
    talker.eval()
    batches = [answers[at : at + 32] for at in range(0, len(answers), 32)]
    found = [_losses(talker, batch, 0.0) for batch in batches]
    return {f"validation_{name}": sum(float(f[name]) for f in found) / len(found) for name in found[0]}
