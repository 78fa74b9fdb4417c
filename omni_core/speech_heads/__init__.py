"""Speech heads: how a model comes to speak. A file here is a head; its name is the name in settings.

What a head is:

    LANGUAGE_MODEL        "frozen": listening and speaking are trained beside it;  "trained": they are one model with it.
                          Which stages of the flow that means stands in flows/training.py and omni_core/plan.py.
    SOUND_ONLY            folders of its part of a model that change no word of the written answer (omni_core/answering_parts.py)
    assemble(assembly)    writes what is served of it into a model folder, and says what that cost
    serve(folder, card, threads) -> Speaker

The rest of the flow (quantize, benchmark, evaluate, promote) and omni_core.speech_to_speech know no head by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from data_contracts.components import ComponentsSettings
from omni_core.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from omni_core.codecs import Codec
    from omni_core.encoders import Encoder


@dataclass(frozen=True)
class Assembly:
    """What a head gets to make its part of a model folder."""

    folder: Path
    """The model, not finished; the codec's folder and the encoder's weights are there."""
    trained: Mapping[str, Path]
    """Training stage, in order -> folder of its Checkpoint."""
    parts: ComponentsSettings
    frame_rate_hz: float
    """Of the codec."""
    weight_quantizer: str
    turns: tuple[tuple[str, str], ...]
    """(question, answer) texts of validation turns, on which the quantized weights are compared with float32."""
    home: Path
    threads: int
    progress: Progress
    language_model: Path | None = None
    """Folder of the QuantizedLanguageModel, for a head beside a frozen language model; None for one that trained its own."""


@dataclass(frozen=True)
class Frame:
    """One codec frame of an answer: text so far, codes (num_codebooks,), and whether it is the last.

    codes is None in the one Frame of an answer that has no sound.
    """

    text: str
    codes: Tensor | None
    last: bool
    ended: bool = True
    """Of the last one: the answer came to its own end, and was not cut off."""


@dataclass(frozen=True)
class Joint:
    """One quantity that crosses from one part of a model to the next, as both state it."""

    quantity: str
    giver: str
    given: float
    taker: str
    taken: float


def holds_words(text: str) -> bool:
    """True when there is a letter or a figure in it; what else is written of a sound is breath and noise."""
    return any(character.isalnum() for character in text)


class Speaker(Protocol):
    """A served head. It answers one question at a time; what a question is between `listen` and `answer` is its own."""

    tokenizer: Any
    end: int
    """Token that ends a written answer."""
    vocabulary: int
    """Tokens that it has embeddings for."""
    context: int
    """Positions that its language model reads; 0: no limit is stated."""

    def joints(self, encoder: Encoder, codec: Codec) -> list[Joint]:
        """What it takes from the encoder, hands from part to part, and gives to the codec."""
        ...

    def positions(self, question: Any) -> int:
        """Positions of the context that a question needs, its answer included as far as that cannot be cut short."""
        ...

    def listen(self, features: Tensor) -> Any:
        """Encoder features (frames, width) -> the question, as `heard` and `answer` take it."""
        ...

    def heard(self, question: Any) -> str:
        """The question in words, as it was heard."""
        ...

    def answer(self, question: Any) -> Iterator[Frame]:
        """The answer, a frame as soon as it is there; at least one."""
        ...

    def answer_text(self, question: str) -> str:
        """A written question -> the written answer."""
        ...

    def answer_logits(self, question: str, answer: list[int]) -> np.ndarray:
        """A written question and tokens -> (tokens, text vocabulary): what the head says before each of them."""
        ...


class SpeechHead(Protocol):
    """The role of a file here."""

    LANGUAGE_MODEL: str
    SOUND_ONLY: tuple[str, ...]

    def assemble(self, assembly: Assembly) -> dict[str, Any]:
        """facts: logit_cosine and token_agreement (quantized against float32), float32_bytes, context (as Speaker's); none of
        them for a frozen language model, which was measured when it was converted."""
        ...

    def serve(self, folder: Path, card: dict[str, Any], threads: int) -> Speaker:
        """Load what `assemble` wrote; card is the folder's model.json."""
        ...


def speech_head(name: str) -> SpeechHead:
    """The member of that name."""
    module: Any = importlib.import_module(f"omni_core.speech_heads.{name}")
    return module
