"""A served model's talker and a random one enter, the better start leaves: where a talker begins after a swap.

    the same codec     all weights go on
    another codec      how phonemes are read, how long they last, pitch and energy, conditions and decoder go on; what reads or
                       writes codes and their vectors begins anew

What reads the language model's states may be of another width or, of the same width, of another space; then the head is asked
with and without it, as it is left out of half of the training examples anyway.
"""

from __future__ import annotations

import copy

import torch

from omni_core import speak
from omni_core.speech_heads.talker import Talker
from omni_core.training_loop import Curve
from omni_core.warm_start import best_start

READS_STATES = ("state.",)
KNOWS_CODES = ("latent.", "correction.", "prior.", "codes.", "heads.")


def start_talker(old: Talker, random: Talker, held_out: list[speak.SpokenAnswer], curve: Curve) -> Talker:
    """The start with the smallest loss on validation answers; every candidate's is noted at step 0 of the curve."""
    if not held_out:
        return random
    codes = () if _says_the_same_codes(old, random) else KNOWS_CODES
    candidates = {"random": random, "warm": with_weights_of(old, random, but=codes)}
    candidates["warm_other_states"] = with_weights_of(old, random, but=(*codes, *READS_STATES))
    losses = {name: speak.validate(talker, held_out)["validation_loss"] for name, talker in candidates.items()}
    best = best_start(losses)
    curve.add(0, **{f"start_loss_{name}": loss for name, loss in losses.items()}, start_warm=best != "random")
    return candidates[best]


def _says_the_same_codes(old: Talker, random: Talker) -> bool:
    """A code is what its vector is; a codec that was fitted again has others under the same numbers."""
    return old.config.frame_rate_hz == random.config.frame_rate_hz and torch.equal(
        old.prior.vectors, random.prior.vectors
    )


@torch.no_grad()
def with_weights_of(old: Talker, random: Talker, but: tuple[str, ...] = ()) -> Talker:
    """A copy of the random talker with every parameter of the old one that has its shape; those named `but`... stay."""
    made, state = copy.deepcopy(random), dict(old.named_parameters())
    for name, value in made.named_parameters():
        if not name.startswith(but) and name in state and state[name].shape == value.shape:
            value.copy_(state[name])
    return made
