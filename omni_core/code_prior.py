"""A guess of a frame's latent enters, a preference for each code leaves: what a codec's own code vectors know.

Codecs of residual codebooks are additive: the latent z of a frame is the sum of one vector a stream,

    z = V_1[c_1] + V_2[c_2] + ... + V_K[c_K]

so whoever guesses z as a point knows a good code of every stream: the vector nearest to what is left of the guess once
the codes chosen before are taken off. The head then learns a smooth regression, as acoustic models do (FastSpeech 2,
Ren et al. 2021), and its free logits only what the regression cannot say. A code chosen badly is mended by the next,
whose rest is reckoned from the code that was really chosen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_LATENT_WIDTH = 192
"""Wider latents (SNAC's is 3 072) are projected to their principal components: distances stay, the work shrinks."""
SHARPNESS_STEP = 10.0
"""Sharpness is learned as a logarithm in units of 1 / 10: it has to move further than weights do."""


def project(vectors: Tensor) -> Tensor:
    """Code vectors (streams, codes, latent width) -> the same in at most MAX_LATENT_WIDTH principal directions."""
    if vectors.shape[2] <= MAX_LATENT_WIDTH:
        return vectors.float().contiguous()
    flat = vectors.flatten(0, 1).double()
    directions = torch.linalg.eigh(flat.T @ flat).eigenvectors[:, -MAX_LATENT_WIDTH:]
    return (vectors.double() @ directions).float().contiguous()


class CodePrior(nn.Module):
    """Holds the code vectors (streams, codes, latent width), scaled so that a frame's latent has unit mean square."""

    def __init__(self, num_streams: int, codebook_size: int, latent_width: int):
        super().__init__()
        self.vectors: Tensor
        self.half_norms: Tensor
        self.register_buffer("vectors", torch.zeros(num_streams, codebook_size, latent_width))
        self.register_buffer("half_norms", torch.zeros(num_streams, codebook_size))
        self.sharpness = nn.Parameter(torch.zeros(num_streams))

    def set_vectors(self, vectors: Tensor) -> None:
        """Take a codec's vectors, as `project` returns them; done once, before training."""
        scale = vectors.square().sum(2).mean(1).sum().sqrt()
        self.vectors.copy_(vectors / scale)
        self.half_norms.copy_(self.vectors.square().sum(2) / 2)
        spread = self.half_norms.mean(1).clamp(min=1e-6)
        with torch.no_grad():
            self.sharpness.copy_((0.5 / spread).log() / SHARPNESS_STEP)

    def of_codes(self, codes: Tensor) -> Tensor:
        """Vectors of codes: (batch, streams, frames) -> (batch, streams, frames, latent width)."""
        return torch.stack([book[codes[:, k]] for k, book in enumerate(self.vectors)], 1)

    def sharpness_of_streams(self) -> Tensor:
        """(streams,): how much a squared distance counts, 1 / the variance of the guess's error."""
        return (self.sharpness * SHARPNESS_STEP).exp()


def latent_loss(guess: Tensor, latent: Tensor, real: Tensor) -> Tensor:
    """Squared error a frame: (batch, frames, latent width) twice, real (batch, frames) 0 or 1; 1 is the latent's own power."""
    error = F.mse_loss(guess.float(), latent, reduction="none").sum(2)
    return (error * real).sum() / real.sum()
