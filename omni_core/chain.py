"""A loaded model and a recording enter; what was found at every joint leaves, or a ComponentError naming what does not fit.

    waveform -> encoder -> speech head with its language model -> codec -> waveform
             rate,      width, context, end                 codes, rate

Each part states its rates and shapes. Here what is stated is compared across each joint, and with what really comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import ComponentError
from omni_core.audio import resample
from omni_core.speech_heads import Joint
from omni_core.speech_to_speech import SpeechToSpeech

FRAMES_OFF = 1.5
"""Only whole frames are written: seconds times the rate, give or take one at the end."""
RATE_TOLERANCE = 1e-3
FULL_SCALE = 1.0 + 1e-3


@dataclass(frozen=True)
class Check:
    """A row of the report: what was looked at, what was found, what it has to be."""

    check: str
    found: str
    has_to_be: str
    passed: bool = True


def check_joints(model: SpeechToSpeech) -> Check:
    """What the parts state, compared; rates within a rounding."""
    codec = model.codec
    own = Joint("samples a second", "the codec's frames", codec.frame_rate_hz * codec.samples_per_frame, "its waveform",
                codec.sample_rate_hz)  # fmt: skip
    joints = [*model.speaker.joints(model.encoder, codec), own]
    for joint in joints:
        if abs(joint.given - joint.taken) > RATE_TOLERANCE * max(1.0, abs(joint.taken)):
            raise ComponentError(
                f"{joint.giver} gives {joint.given:g} {joint.quantity} and {joint.taker} takes {joint.taken:g}; they were not "
                "made for each other: run the flow, which retrains what a swap has left behind"
            )
    return Check("rates and widths agree", f"{len(joints)} joints agree", "equal on both sides")


def check_end(model: SpeechToSpeech) -> Check:
    """The token that ends an answer is one that the language model can say."""
    end, vocabulary = model.speaker.end, model.speaker.vocabulary
    if not 0 <= end < vocabulary:
        raise ComponentError(
            f"answers end with token {end}, and the language model has {vocabulary}: no answer could end; its tokenizer "
            "belongs to another model"
        )
    return Check("the end token exists", f"id {end}", f"below {vocabulary}")


def check_features(model: SpeechToSpeech, waveform: np.ndarray, sample_rate_hz: int) -> Check:
    """The encoder's features come at the rate and width that it states."""
    features, seconds, encoder = model.features(waveform, sample_rate_hz), len(waveform) / sample_rate_hz, model.encoder
    stated = seconds * encoder.frame_rate_hz
    if abs(len(features) - stated) > FRAMES_OFF or features.shape[1] != encoder.width:
        raise ComponentError(
            f"the encoder gives {len(features)} frames of {features.shape[1]} values for {seconds:.2f} s and states "
            f"{encoder.frame_rate_hz:g} frames of {encoder.width} a second; correct what its file in omni_core/encoders states"
        )
    return Check("the encoder keeps its rate", f"{len(features)} frames in {seconds:.2f} s", f"{stated:.1f}")


def check_codes(model: SpeechToSpeech, waveform: np.ndarray, sample_rate_hz: int) -> Check:
    """A recording goes through the codec and back; its first and last codes decode too."""
    codec = model.codec
    samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, codec.sample_rate_hz)
    codes = codec.encode(torch.from_numpy(np.ascontiguousarray(samples))[None])
    stated = len(samples) / codec.sample_rate_hz * codec.frame_rate_hz
    if codes.shape[:2] != (1, codec.num_codebooks) or abs(codes.shape[2] - stated) > FRAMES_OFF:
        raise ComponentError(
            f"the codec writes {codes.shape[2]} frames of {codes.shape[1]} codes where it states {stated:.1f} of "
            f"{codec.num_codebooks}; correct what its file in omni_core/codecs states"
        )
    lowest, highest = int(codes.min()), int(codes.max())
    if lowest < 0 or highest >= codec.codebook_size:
        raise ComponentError(
            f"the codec writes codes from {lowest} to {highest} and states {codec.codebook_size}, counted from 0"
        )
    ends = torch.tensor([0, codec.codebook_size - 1]).expand(1, codec.num_codebooks, 2).to(codes.dtype)
    for what, tried in (("its own codes", codes), ("its first and last codes", ends)):
        _check_sound(codec, tried, what)
    return Check("codes decode", f"{codes.shape[2]} frames of {codes.shape[1]} codes", "sound of the stated length")


def _check_sound(codec: Any, codes: Tensor, what: str) -> None:
    waveform, frames = codec.decode(codes)[0], codes.shape[2]
    if len(waveform) != frames * codec.samples_per_frame:
        raise ComponentError(
            f"the codec decodes {what}, {frames} frames, to {len(waveform)} samples where it states "
            f"{codec.samples_per_frame} a frame"
        )
    if not torch.isfinite(waveform).all() or waveform.abs().max() > FULL_SCALE:
        raise ComponentError(
            f"the codec decodes {what} to samples that are not numbers or past full scale; its weights and its "
            "configuration do not belong together"
        )


@torch.no_grad()
def check_context(model: SpeechToSpeech, longest: np.ndarray, sample_rate_hz: int) -> tuple[Check, int]:
    """The longest question of the data fits the language model's context; also the positions that it takes."""
    speaker, seconds = model.speaker, len(longest) / sample_rate_hz
    needed = speaker.positions(speaker.listen(model.features(longest, sample_rate_hz)))
    if 0 < speaker.context < needed:
        raise ComponentError(
            f"the longest question of the data, {seconds:.1f} s, takes {needed} positions with its answer and the language "
            f"model reads {speaker.context}; choose one with a longer context, or an encoder with fewer frames a second"
        )
    has_to_be = f"at most {speaker.context}" if speaker.context else "no limit is stated"
    return Check("a long question fits", f"{seconds:.1f} s take {needed} positions", has_to_be), needed
