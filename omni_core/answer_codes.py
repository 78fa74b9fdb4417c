"""An answer that comes as a codec's codes and not as sound: its text form enters, arrays, seconds or a waveform leave.

VoiceAssistant-400K writes SNAC 24 kHz frames as "# t0 t1 ... t6 # t0 ... t6", undelayed:

    t0 = codebook 0;  t1, t4 = codebook 1;  t2, t3, t5, t6 = codebook 2        (7 streams, frames)

The codes stay with the utterance (data_contracts.ingest.CODED_UTTERANCE). Codec snac is trained on them as they are;
any other codec needs the waveform, and that needs the weights of SNAC's decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.errors import ComponentError, SourceError

if TYPE_CHECKING:
    import torch

SNAC_24KHZ = "snac_24khz"
CODE_COLUMNS = ("codec", "codebooks", "codes")  # a shard without coded answers lacks them
NUM_STREAMS = 7
CODEBOOK_SIZE = 4096
SAMPLE_RATE_HZ = 24_000
SAMPLES_A_FRAME = 2048
NO_SOUND = (
    "an answer of this shard came as SNAC codes and has no waveform, which this needs: set ingest.voice.coded_answers "
    "to 'decode' and ingest.voice.snac_weights to SNAC's 24 kHz weights, or to 'speak' to have the teacher voice say "
    "the answers, or train codec snac with a speech head that reads codes alone"
)


def parse(text: str) -> np.ndarray:
    """Codes (NUM_STREAMS, frames) int16. Raises SourceError when they are not whole frames of codes."""
    words = text.split()
    if not words:
        raise SourceError("the answer has no codes")
    frames, left = divmod(len(words), NUM_STREAMS + 1)
    if left or any(words[at] != "#" for at in range(0, len(words), NUM_STREAMS + 1)):
        raise SourceError(f"the answer's codes are not frames of '#' and {NUM_STREAMS} numbers")
    try:
        codes = np.array(words, dtype=object).reshape(frames, NUM_STREAMS + 1)[:, 1:].astype(np.int64)
    except ValueError as error:
        raise SourceError(f"the answer's codes hold what is no number ({error})") from error
    if codes.min() < 0 or codes.max() >= CODEBOOK_SIZE:
        raise SourceError(f"the answer's codes reach {codes.max()}, outside 0 to {CODEBOOK_SIZE - 1}")
    return np.ascontiguousarray(codes.T.astype(np.int16))


def duration_s(codes: np.ndarray) -> float:
    """Seconds of (streams, frames)."""
    return codes.shape[1] * SAMPLES_A_FRAME / SAMPLE_RATE_HZ


def cells(codes: np.ndarray) -> dict[str, Any]:
    """The columns of an utterance that hold its codes; `codes_of` is the inverse."""
    return {"codec": SNAC_24KHZ, "codebooks": codes.shape[0], "codes": codes.astype("<i2").tobytes()}


def codes_of(row: Mapping[str, Any], codec: str, sample_rate_hz: int) -> torch.Tensor | None:
    """The codes (codebooks, frames) int64 that came with an utterance; None when none of that codec at that rate did."""
    import torch

    if row.get("codec") != f"{codec}_{sample_rate_hz // 1000}khz":
        return None
    codes = np.frombuffer(row["codes"], "<i2").reshape(row["codebooks"], -1)
    return torch.from_numpy(codes.astype(np.int64))


def decode(codes: np.ndarray, weights: str) -> np.ndarray:
    """Codes -> waveform (frames * SAMPLES_A_FRAME,) at SAMPLE_RATE_HZ, the same at each call.

    Raises WeightsError when there are no weights, ComponentError when they are not those of the 24 kHz model.
    """
    import torch

    return _snac(weights).decode(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()


@lru_cache(maxsize=1)
def _snac(weights: str) -> Any:
    from data_contracts.components import CodecSettings
    from omni_core import components

    settings = CodecSettings(name="snac", weights=weights)
    folder = Path(weights) if Path(weights).is_dir() else weights
    codec = components.load("codecs", "snac", settings, folder, Path("."))
    found = (codec.sample_rate_hz, codec.num_codebooks, codec.codebook_size)
    if found != (SAMPLE_RATE_HZ, NUM_STREAMS, CODEBOOK_SIZE):
        raise ComponentError(
            "ingest.voice.snac_weights names SNAC at {} Hz with {} streams of {} codes; ".format(*found)
            + f"the answers' codes are of SNAC at {SAMPLE_RATE_HZ} Hz with {NUM_STREAMS} streams of {CODEBOOK_SIZE}"
        )
    return codec
