"""mel_rvq: a codec fitted in a minute: residual k-means on patches of log-mel frames, phase by a vocoder.

    waveform -> log-mel (80, frames) -> patches of P frames -> principal components -> codebook 1 -> rest -> codebook 2 ...
    codes -> sum of their vectors -> patches -> refiner (joints and wrong codes, see _mel_refiner.py) -> vocoder -> waveform

One patch is one codec frame of 86.13 / P Hz. Fitted to one voice, where neural codecs need weights;
made for one voice or a few, not for music. Residual quantization: Zeghidour et al. 2021 (SoundStream), section 3.3.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_contracts.components import CodecSettings
from omni_core import bundled_weights
from omni_core.codecs import _mel_refiner
from omni_core.codecs._mel_refiner import REACH_MEL_FRAMES, MelRefiner, to_serve
from omni_core.mel import FRAME_RATE_HZ, HOP, NUM_MELS, SAMPLE_RATE_HZ, log_mel
from omni_core.progress import Progress, silent
from omni_core.vocoders import GriffinLim, load_hifigan

COMPONENTS_PER_MEL_FRAME = 24
"""Principal components kept a mel frame; the rest of a patch is noise to k-means (and four times the work)."""
KMEANS_ITERATIONS = 12
MAX_FIT_PATCHES = 30_000
REFINER = "refiner.safetensors"


def kmeans(points: Tensor, size: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Lloyd's algorithm: points (n, width) -> centroids (size, width); an empty cell restarts at a random point."""
    centroids = points[torch.randperm(len(points), generator=generator)[:size]].clone()
    if len(centroids) < size:
        centroids = torch.cat(
            [centroids, centroids[torch.randint(len(centroids), (size - len(centroids),), generator=generator)]]
        )
    for _ in range(iterations):
        cells = nearest(points, centroids)
        counts = torch.bincount(cells, minlength=size)[:, None]
        sums = torch.zeros_like(centroids).index_add_(0, cells, points)
        strays = points[torch.randint(len(points), (size,), generator=generator)]
        centroids = torch.where(counts > 0, sums / counts.clamp(min=1), strays)
    return centroids


def nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Index of the nearest centroid of each point: (n, width), (size, width) -> (n,)."""
    half_norms = centroids.square().sum(1) / 2
    return torch.cat([(half_norms - piece @ centroids.T).argmin(1) for piece in points.split(8192)])


class MelRvq:
    """A fitted mel_rvq codec; codebooks (num_codebooks, codebook_size, width) live in the principal components."""

    def __init__(
        self,
        mean: Tensor,
        basis: Tensor,
        codebooks: Tensor,
        patch_frames: int,
        vocoder_name: str,
        vocoder,
        refiner: MelRefiner | None = None,
    ):
        self.refiner = refiner
        self.mean, self.basis, self.codebooks = mean, basis, codebooks
        self.patch_frames, self.vocoder_name, self.vocoder = patch_frames, vocoder_name, vocoder
        self.num_codebooks, self.codebook_size = codebooks.shape[:2]
        self.sample_rate_hz = SAMPLE_RATE_HZ
        self.frame_rate_hz = FRAME_RATE_HZ / patch_frames
        self.samples_per_frame = HOP * patch_frames
        reach = vocoder.look_ahead_frames + (REACH_MEL_FRAMES if refiner else 0)
        self.look_ahead_frames = math.ceil(reach / patch_frames)

    def encode(self, waveform: Tensor) -> Tensor:
        """(batch, samples) at 22 050 Hz -> codes (batch, num_codebooks, ceil(samples / samples_per_frame))."""
        short = -waveform.shape[-1] % self.samples_per_frame
        patches = _patches(log_mel(torch.nn.functional.pad(waveform, (0, short))), self.patch_frames)
        batch, frames, _ = patches.shape
        codes = self.quantize(patches.reshape(batch * frames, -1))
        return codes.reshape(self.num_codebooks, batch, frames).transpose(0, 1)

    def quantize(self, patches: Tensor) -> Tensor:
        """(n, P * 80) -> codes (num_codebooks, n): each codebook's nearest to what those before have left."""
        rest, codes = (patches - self.mean) @ self.basis, []
        for codebook in self.codebooks:
            codes.append(nearest(rest, codebook))
            rest = rest - codebook[codes[-1]]
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Inverse of encode: (batch, num_codebooks, frames) -> (batch, frames * samples_per_frame)."""
        return self.vocoder(self.decode_mel(codes))

    def decode_mel(self, codes: Tensor) -> Tensor:
        """(batch, num_codebooks, frames) -> log-mel (batch, 80, frames * patch_frames)."""
        mel = self.patches_of(codes)
        return self.refiner(mel.double()).float() if self.refiner else mel

    def patches_of(self, codes: Tensor) -> Tensor:
        """As decode_mel, not refined: what the codes say, patch beside patch."""
        points = sum(book[codes[:, index].long()] for index, book in enumerate(self.codebooks))
        patches = points @ self.basis.T + self.mean
        return patches.reshape(len(codes), -1, NUM_MELS).transpose(1, 2)

    def code_vectors(self) -> Tensor:
        """(num_codebooks, codebook_size, width): a frame's latent is the sum of the vectors of its codes."""
        return self.codebooks

    def save(self, folder: Path) -> None:
        """Writes config.json and codec.safetensors."""
        tensors = {"mean": self.mean, "basis": self.basis.contiguous(), "codebooks": self.codebooks}
        save_file(tensors, folder / "codec.safetensors")
        if self.refiner:
            save_file({name: weight.float() for name, weight in self.refiner.state_dict().items()}, folder / REFINER)
        (folder / "config.json").write_text(
            json.dumps({"name": "mel_rvq", "patch_frames": self.patch_frames, "vocoder": self.vocoder_name})
        )


def _patches(mel: Tensor, patch_frames: int) -> Tensor:
    """(batch, 80, frames) -> (batch, frames // P, P * 80)."""
    batch, _, frames = mel.shape
    whole = frames // patch_frames
    return mel[:, :, : whole * patch_frames].transpose(1, 2).reshape(batch, whole, patch_frames * NUM_MELS)


def _vocoder(name: str, home: Path):
    return (
        GriffinLim()
        if name == "griffin_lim"
        else load_hifigan(bundled_weights.resolve("bundled:hifigan_universal", home))
    )


def fit(
    waveforms: list[Tensor], settings: CodecSettings, home: Path, progress: Progress = silent, seed: int = 0
) -> MelRvq:
    """Waveforms (samples,) at 22 050 Hz -> a codec fitted to them, deterministic for a seed."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.cat([_patches(log_mel(w[None]), settings.patch_frames)[0] for w in waveforms])
    mean = patches.mean(0)
    width = min(COMPONENTS_PER_MEL_FRAME * settings.patch_frames, patches.shape[1])
    covariance = (patches - mean).T @ (patches - mean) / len(patches)
    basis = torch.linalg.eigh(covariance).eigenvectors[:, -width:].flip(1)
    keep = torch.randperm(len(patches), generator=generator)[:MAX_FIT_PATCHES]
    rest = (patches[keep] - mean) @ basis
    codebooks = []
    for index in range(settings.num_codebooks):
        codebooks.append(kmeans(rest, settings.codebook_size, KMEANS_ITERATIONS, generator))
        rest = rest - codebooks[-1][nearest(rest, codebooks[-1])]
        progress(index + 1, settings.num_codebooks, "codebooks")
    codec = MelRvq(
        mean, basis, torch.stack(codebooks), settings.patch_frames, settings.vocoder, _vocoder(settings.vocoder, home)
    )
    return _refined(codec, patches, settings.refine_steps, generator, progress) if settings.refine_steps else codec


def _refined(codec: MelRvq, patches: Tensor, steps: int, generator: torch.Generator, progress: Progress) -> MelRvq:
    """The codec with a refiner, fitted to all of its patches (n, P * 80)."""
    codes = codec.quantize(patches)
    mel = patches.reshape(-1, NUM_MELS).T
    refiner = _mel_refiner.fit(
        codec.patches_of, codes, mel, codec.codebook_size, steps=steps, generator=generator, progress=progress
    )
    return MelRvq(
        codec.mean, codec.basis, codec.codebooks, codec.patch_frames, codec.vocoder_name, codec.vocoder, refiner
    )


def load(settings: CodecSettings, folder: Path, home: Path) -> MelRvq:
    """Read a fitted codec back from its folder."""
    tensors = load_file(folder / "codec.safetensors")
    config = json.loads((folder / "config.json").read_text())
    refiner = None
    if (folder / REFINER).is_file():
        refiner = MelRefiner(config["patch_frames"])
        refiner.load_state_dict(load_file(folder / REFINER))
        refiner = to_serve(refiner)
    vocoder = _vocoder(config["vocoder"], home)
    return MelRvq(
        **tensors, patch_frames=config["patch_frames"], vocoder_name=config["vocoder"], vocoder=vocoder, refiner=refiner
    )
