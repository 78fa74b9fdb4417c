"""DistillMOS: a waveform enters, the opinion that listeners would have of its sound leaves. MOS 1 (bad) to 5, higher is better.

    distill_mos           the model's answers
    teacher_distill_mos   the teacher's recordings of the reference answers: what the training targets allow
    distill_mos_gap       teacher - model on the same turn; lower is better

Stahl and Gamper 2025, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech Quality
Assessment"; package distillmos 0.9.1, weights inside (MIT). It hears noise, clicks and metallic voices. It does not
hear wrong words, wrong prosody or wrong voices, and it was trained on 16 kHz speech of seconds: do not read tenths
of a point of a single clip. Silence scores 1.97 by the network, which no listener would give: an answer without sound
is 1 here.

Each clip is padded to 7.68 s, so batches save nothing (measured: 0.34 s of one core a clip, no less in batches);
the convolutions in bfloat16 halve that, and move a clip by 0.004 at most.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni_core.audio import resample
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack, check_weights
from omni_core.precision import fast_dtype, threads

WEIGHTS_SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"
SAMPLE_RATE_HZ = 16_000
WORST = 1.0
SHORTEST_S = 0.1  # shorter is a click


class DistillMOS:
    """The network on the CPU, one clip at a time."""

    is_slow = True
    figures = (
        Figure("distill_mos", "MOS", "higher", "predicted opinion of the answers' sound", "mos"),
        Figure("teacher_distill_mos", "MOS", "higher", "the same of the teacher's recordings", "teacher_mos"),
        Figure("distill_mos_gap", "MOS", "lower", "teacher minus model", "mos_gap"),
    )

    def __init__(self, thread_count: int):
        from distillmos import ConvTransformerSQAModel, sqa  # after omni_core, which makes torchaudio importable

        check_weights(Path(sqa.DEFAULT_WEIGHTS_CHKPT), WEIGHTS_SHA256, "distillmos==0.9.1")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of its weights
            self._model = ConvTransformerSQAModel().eval()
        self._model.cnn = _in_half_precision(self._model.cnn)
        self._threads = thread_count

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """The model's and the teacher's score a turn; equal recordings of the teacher are scored once."""
        known: dict[bytes, float] = {}
        own: list[float | None] = []
        teacher: list[float | None] = []
        gap: list[float | None] = []
        for turn in turns:
            mos = self.mos(turn.waveform, turn.sample_rate_hz)
            key = turn.teacher_waveform.tobytes()
            if key not in known:
                known[key] = self.mos(turn.teacher_waveform, turn.teacher_sample_rate_hz)
            own.append(mos)
            teacher.append(known[key])
            gap.append(known[key] - mos)
        return {"mos": own, "teacher_mos": teacher, "mos_gap": gap}

    def mos(self, waveform: np.ndarray, sample_rate_hz: int) -> float:
        """(samples,) -> 1..5."""
        import torch

        if len(waveform) < SHORTEST_S * sample_rate_hz or not np.any(waveform):
            return WORST
        samples = torch.from_numpy(np.array(resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ)))
        with threads(self._threads), torch.inference_mode():
            return float(self._model(samples[None]))


def _in_half_precision(module: Any) -> Any:
    """The module, computing in bfloat16 where the CPU can; float32 enters and leaves."""
    import torch

    class InHalfPrecision(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_dtype("cpu") is torch.bfloat16):
                return self.inner(x).float()

    return InHalfPrecision()


def load(pack: LanguagePack, threads: int = 1) -> DistillMOS:
    """The metric; sound has no language."""
    return DistillMOS(threads)
