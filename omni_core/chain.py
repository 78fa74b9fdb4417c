"""A loaded model and a recording enter; what was measured at every joint leaves, or a ComponentError naming what does not fit.

    waveform -> encoder -> adapter -> language model -> speech head -> codec -> waveform
             rate      width,    width,             width         streams,
                       rate      context, end                     codes, rate

Each part states its rates and shapes; here what is stated is compared across each joint, and with what really comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_contracts.errors import ComponentError
from omni_core.alignment import ALIGNER_FRAME_RATE_HZ
from omni_core.audio import resample
from omni_core.speech_to_speech import SpeechToSpeech

FRAMES_OFF = 1.5
"""Whole frames only: a recording gives the stated rate times its seconds, give or take one at its end."""
RATE_TOLERANCE = 1e-3
FULL_SCALE = 1.0 + 1e-3


@dataclass(frozen=True)
class Check:
    """A row of the report: what was looked at, what was found, what it has to be."""

    check: str
    found: str
    has_to_be: str
    passed: bool = True


@dataclass(frozen=True)
class Joint:
    """One quantity that two neighbours state."""

    quantity: str
    left: str
    left_value: float
    right: str
    right_value: float

    @property
    def fits(self) -> bool:
        """Equal, rates within a rounding."""
        return abs(self.left_value - self.right_value) <= RATE_TOLERANCE * max(1.0, abs(self.right_value))


def joints_of(model: SpeechToSpeech) -> list[Joint]:
    """Every quantity that crosses from one part to the next."""
    adapter, talker, codec = model.adapter.config, model.talker.config, model.codec
    width = model.embeddings.shape[1]
    return [
        Joint("frames a second", "the encoder", model.encoder.frame_rate_hz, "the adapter", adapter.feature_rate_hz),
        Joint("features a frame", "the encoder", model.encoder.width, "the adapter", adapter.feature_width),
        Joint("width", "the adapter", adapter.model_width, "the language model", width),
        Joint("state width", "the language model", width, "the speech head", talker.state_width),
        Joint("phonemes", "the language pack", model.language.num_bases, "the speech head", talker.num_bases),
        Joint("stresses", "the language pack", model.language.num_stresses, "the speech head", talker.num_stresses),
        Joint("duration frames a second", "the aligner", ALIGNER_FRAME_RATE_HZ, "the speech head", talker.duration_rate_hz),
        Joint("streams", "the speech head", talker.num_streams, "the codec", codec.num_codebooks),
        Joint("codes a stream", "the speech head", talker.codebook_size, "the codec", codec.codebook_size),
        Joint("frames a second", "the speech head", talker.frame_rate_hz, "the codec", codec.frame_rate_hz),
        Joint("samples a second", "the codec's frames", codec.frame_rate_hz * codec.samples_per_frame, "the codec",
              codec.sample_rate_hz),
    ]  # fmt: skip


def check_joints(model: SpeechToSpeech) -> Check:
    """What the parts state, compared."""
    joints = joints_of(model)
    for joint in joints:
        if not joint.fits:
            raise ComponentError(
                f"{joint.left} gives {joint.left_value:g} {joint.quantity} and {joint.right} takes {joint.right_value:g}; "
                "they were not made for each other: run the flow, which retrains what a swap has left behind"
            )
    return Check("rates and widths agree", f"{len(joints)} joints agree", "equal on both sides")


def check_tokens(model: SpeechToSpeech) -> Check:
    """Ids around the question, of the end and of what the adapter writes exist in the language model."""
    highest = max([model.chat.end, *model.chat.suffix, *model.adapter.config.tokens])
    if highest >= len(model.embeddings):
        raise ComponentError(
            f"token {highest} is asked of a language model that has {len(model.embeddings)}; its tokenizer belongs to another"
        )
    return Check("tokens exist", f"highest id {highest}", f"below {len(model.embeddings)}")


def check_features(model: SpeechToSpeech, waveform: np.ndarray, sample_rate_hz: int) -> Check:
    """The encoder's features come at the rate and width that it states."""
    features, seconds = model.features(waveform, sample_rate_hz), len(waveform) / sample_rate_hz
    stated, width = seconds * model.encoder.frame_rate_hz, model.encoder.width
    if abs(len(features) - stated) > FRAMES_OFF or features.shape[1] != width:
        raise ComponentError(
            f"the encoder gives {len(features)} frames of {features.shape[1]} for {seconds:.2f} s where it states "
            f"{model.encoder.frame_rate_hz:g} a second of {width}; its file in omni_core/encoders states a wrong rate"
        )
    return Check("the encoder keeps its rate", f"{len(features)} frames for {seconds:.2f} s", f"{stated:.1f}")


def check_codes(model: SpeechToSpeech, waveform: np.ndarray, sample_rate_hz: int) -> Check:
    """A recording goes through the codec and back; its smallest and largest codes decode too."""
    codec = model.codec
    samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, codec.sample_rate_hz)
    codes = codec.encode(torch.from_numpy(np.ascontiguousarray(samples))[None])
    stated = len(samples) / codec.sample_rate_hz * codec.frame_rate_hz
    if codes.shape[:2] != (1, codec.num_codebooks) or abs(codes.shape[2] - stated) > FRAMES_OFF:
        raise ComponentError(
            f"the codec writes {codes.shape[2]} frames of {codes.shape[1]} codes where it states {stated:.1f} of "
            f"{codec.num_codebooks}; its file in omni_core/codecs states a wrong rate"
        )
    if codes.min() < 0 or codes.max() >= codec.codebook_size:
        raise ComponentError(
            f"the codec writes code {int(codes.max())} and states {codec.codebook_size} codes a stream, from 0"
        )
    borders = torch.tensor([0, codec.codebook_size - 1]).expand(1, codec.num_codebooks, 2).to(codes.dtype)
    for what, tried in (("its own codes", codes), ("its first and last codes", borders)):
        _check_sound(codec, tried, what)
    return Check("codes decode", f"{codes.shape[2]} frames of {codes.shape[1]} codes", "finite sound of the stated length")


def _check_sound(codec: Any, codes: Tensor, what: str) -> None:
    waveform = codec.decode(codes)[0]
    if len(waveform) != codes.shape[2] * codec.samples_per_frame:
        raise ComponentError(
            f"the codec decodes {what}, {codes.shape[2]} frames, to {len(waveform)} samples where it states "
            f"{codec.samples_per_frame} a frame"
        )
    if not torch.isfinite(waveform).all() or waveform.abs().max() > FULL_SCALE:
        raise ComponentError(
            f"the codec decodes {what} to samples that are no sound (not numbers, or past full scale); its weights do not "
            "belong to its configuration"
        )


def check_context(model: SpeechToSpeech, question: np.ndarray, sample_rate_hz: int) -> tuple[Check, int]:
    """The longest question that ingest lets pass, heard: it, the prefix and the longest answer fit. Also the positions."""
    seconds = len(question) / sample_rate_hz
    needed = model.positions(model.adapter(model.features(question, sample_rate_hz)))
    if 0 < model.context < needed:
        raise ComponentError(
            f"a question of {seconds:.0f} s with the prefix and the longest answer takes {needed} positions and the language "
            f"model reads {model.context}; lower ingest.quality.max_duration_s or train.listen.prefix_examples"
        )
    found = f"{seconds:.0f} s take {needed} positions"
    return Check("a long question fits", found, f"at most {model.context}" if model.context else "no limit stated"), needed
