"""Log-mel frames enter, a waveform leaves: HiFi-GAN with public weights, or Griffin-Lim with none.

Both read the frames of omni_core/mel.py. HiFi-GAN is written from the paper (Kong et al. 2020, section 2.2 and
appendix A.1, generator V1) with the parameter names of the public checkpoints after weight norm was folded in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchaudio
from safetensors.torch import load_file
from torch import Tensor, nn

from data_contracts.errors import WeightsError
from omni_core.mel import HOP, MAX_HZ, NUM_MELS, SAMPLE_RATE_HZ, WINDOW
from omni_core.receptive_field import convolutions, look_ahead_frames

LEAKY_SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Three pairs of dilated and plain convolutions, each pair added to its input."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()

        def conv(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

        self.convs1 = nn.ModuleList(conv(d) for d in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, LEAKY_SLOPE)), LEAKY_SLOPE))
        return x


def _reach(convs: Sequence[Any]) -> int:
    """Steps that plain convolutions, one after another, see on either side."""
    return sum(conv.padding[0] for conv in convs)


class HifiganGenerator(nn.Module):
    """(batch, 80, frames) log-mel -> (batch, frames * 256) waveform in [-1, 1]."""

    def __init__(self, config: dict):
        super().__init__()
        rates, kernels = config["upsample_rates"], config["upsample_kernel_sizes"]
        channels = config["upsample_initial_channel"]
        self.conv_pre = nn.Conv1d(NUM_MELS, channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(rates, kernels, strict=True):
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2))
            channels //= 2
            for size, dilations in zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True):
                self.resblocks.append(ResidualBlock(channels, size, tuple(dilations)))
        self.kernels_per_stage = len(config["resblock_kernel_sizes"])
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)
        self.look_ahead_frames = look_ahead_frames(self._widest_path(), math.prod(rates))

    def _widest_path(self) -> list[nn.Module]:
        """The layers in order, of each stage's blocks the one that sees furthest: 14 frames on either side in V1."""
        path: list[nn.Module] = [self.conv_pre]
        for stage, up in enumerate(self.ups):
            blocks = self.resblocks[stage * self.kernels_per_stage : (stage + 1) * self.kernels_per_stage]
            path += [up, *max((convolutions(block) for block in blocks), key=_reach)]
        return [*path, self.conv_post]

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, LEAKY_SLOPE))
            blocks = self.resblocks[stage * self.kernels_per_stage : (stage + 1) * self.kernels_per_stage]
            x = sum(block(x) for block in blocks) / self.kernels_per_stage
        return torch.tanh(self.conv_post(F.leaky_relu(x)))[:, 0]  # the reference's last slope is the default 0.01


class Hifigan:
    """A loaded generator; bfloat16 where the CPU multiplies it natively (0.16 against 0.34 of real time, 2 cores)."""

    def __init__(self, generator: HifiganGenerator):
        self.generator = generator.eval().requires_grad_(False)
        self.look_ahead_frames = generator.look_ahead_frames
        self.bfloat16 = (
            torch.backends.cpu.get_cpu_capability().startswith("AVX512") and torch.cpu._is_avx512_bf16_supported()
        )

    def __call__(self, mel: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16 and mel.device.type == "cpu"):
            return self.generator(mel).float()


class GriffinLim:
    """Phase by iteration (Griffin and Lim 1984); no weights, a metallic sound."""

    def __init__(self, iterations: int = 32):
        overlap = WINDOW // HOP - 1
        self.look_ahead_frames = (iterations + 1) * overlap
        """Each iteration carries a frame's say to all frames whose windows overlap with its own."""
        self.inverse = torch.linalg.pinv(
            torchaudio.functional.melscale_fbanks(
                WINDOW // 2 + 1, 0, MAX_HZ, NUM_MELS, SAMPLE_RATE_HZ, "slaney", "slaney"
            ).T
        )
        self.transform = torchaudio.transforms.GriffinLim(
            WINDOW, iterations, hop_length=HOP, power=1.0, rand_init=False
        )

    def __call__(self, mel: Tensor) -> Tensor:
        magnitude = (self.inverse @ mel.exp()).clamp(min=0)
        waveform = self.transform(magnitude)
        return F.pad(waveform, (0, mel.shape[-1] * HOP - waveform.shape[-1])).clamp(-1, 1)


@lru_cache(maxsize=2)
def load_hifigan(folder: str) -> Hifigan:
    """Folder with config.json and generator.safetensors -> vocoder; raises WeightsError when one is missing."""
    path = Path(folder)
    if not (path / "generator.safetensors").exists():
        raise WeightsError(
            f"no HiFi-GAN weights in '{folder}' (config.json, generator.safetensors); run 'make weights'"
        )
    generator = HifiganGenerator(json.loads((path / "config.json").read_text()))
    generator.load_state_dict({k: v.float() for k, v in load_file(path / "generator.safetensors").items()})
    return Hifigan(generator)
