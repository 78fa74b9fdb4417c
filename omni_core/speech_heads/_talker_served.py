"""talker, served: the adapter hears, the frozen language model answers behind its tuned prefix, the talker speaks.

features -> adapter -> embeddings -> language model -> text, states of its words -> talker -> codes, frame by frame

listen/ speak/ tokenizer/ embeddings.safetensors language_model/
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_contracts.components import ComponentsSettings, LanguageModelSettings
from omni_core import components
from omni_core.alignment import ALIGNER_FRAME_RATE_HZ
from omni_core.codecs import Codec
from omni_core.encoders import Encoder
from omni_core.language_models.huggingface import CausalLanguageModel, chat_format
from omni_core.progress import Progress, silent
from omni_core.speech_heads import Assembly, Frame, Joint, holds_words
from omni_core.speech_heads.talker import Conditioning
from omni_core.speech_text import speech_text
from omni_core.train import load_listen, load_speak
from omni_core.weight_quantizers import ServedLanguageModel
from omni_core.weight_quantizers.none import TorchLanguageModel
from omni_core.word_states import mean_by_word, words_of_tokens

MAX_ANSWER_TOKENS = 64
LOOP_TOKENS = 6
"""An answer that says so many tokens again in one piece goes round in circles, as small greedy models do; it ends there."""


def in_a_loop(ids: list[int]) -> bool:
    """True when the last LOOP_TOKENS ids have stood together before in the answer."""
    last = ids[-LOOP_TOKENS:]
    return any(ids[at : at + LOOP_TOKENS] == last for at in range(len(ids) - 2 * LOOP_TOKENS + 1))


@dataclass(frozen=True)
class Thought:
    """A written answer and the language model's state at each of its words, (words, width)."""

    text: str
    states: Tensor
    ended: bool
    """It came to its end token, and was not cut off."""


@dataclass(frozen=True)
class Question:
    """The tokens that the adapter heard, and what the language model reads of them, (segments, width)."""

    tokens: list[int]
    embeddings: Tensor


class TalkerSpeaker:
    """See omni_core.speech_heads.Speaker."""

    def __init__(self, folder: Path, card: dict[str, Any], threads: int):
        from transformers import AutoTokenizer

        parts = ComponentsSettings.model_validate(card["components"])
        self.language = components.load("languages", card["language"])
        self.adapter, prefix = load_listen(folder / "listen")
        self.prefix = prefix.keys_values.numpy()
        self.talker = load_speak(folder / "speak")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.chat = chat_format(self.tokenizer, parts.language_model.system_prompt)
        self.end = self.chat.end
        self.embeddings = load_file(folder / "embeddings.safetensors")["embeddings"]
        self.vocabulary, self.context = len(self.embeddings), card.get("context", 0)
        self.language_model: ServedLanguageModel = components.load(
            "weight_quantizers", card["weight_quantizer"], folder / "language_model", threads
        )

    def joints(self, encoder: Encoder, codec: Codec) -> list[Joint]:
        adapter, talker, width = self.adapter.config, self.talker.config, self.embeddings.shape[1]
        aligner, pack = ALIGNER_FRAME_RATE_HZ, self.language
        return [
            Joint("frames a second", "the encoder", encoder.frame_rate_hz, "the adapter", adapter.feature_rate_hz),
            Joint("values a frame", "the encoder", encoder.width, "the adapter", adapter.feature_width),
            Joint("values a position", "the adapter", adapter.model_width, "the language model", width),
            Joint("values a position", "the language model", width, "the talker", talker.state_width),
            Joint("phonemes", "the language pack", pack.num_bases, "the talker", talker.num_bases),
            Joint("degrees of stress", "the language pack", pack.num_stresses, "the talker", talker.num_stresses),
            Joint("duration frames a second", "the aligner", aligner, "the talker", talker.duration_rate_hz),
            Joint("codes a frame", "the talker", talker.num_streams, "the codec", codec.num_codebooks),
            Joint("values a code", "the talker", talker.codebook_size, "the codec", codec.codebook_size),
            Joint("frames a second", "the talker", talker.frame_rate_hz, "the codec", codec.frame_rate_hz),
        ]

    def positions(self, question: Question) -> int:
        return self.prefix.shape[3] + len(question.embeddings) + len(self.chat.suffix) + MAX_ANSWER_TOKENS

    @torch.no_grad()
    def listen(self, features: Tensor) -> Question:
        return Question(*self.adapter.listen(features))

    def heard(self, question: Question) -> str:
        return self.tokenizer.decode(question.tokens).strip()

    def answer_text(self, question: str) -> str:
        return self._think(self.embeddings[self._ids(question)].float()).text

    def answer_logits(self, question: str, answer: list[int]) -> np.ndarray:
        asked = self._ids(question) + self.chat.suffix
        return teacher_forced(self.language_model, self.prefix, self.embeddings.float().numpy(), asked, answer)

    @torch.no_grad()
    def answer(self, question: Question) -> Iterator[Frame]:
        if not holds_words(self.heard(question)):
            yield Frame("", None, True)
            return
        thought = self._think(question.embeddings)
        if not thought.text:
            yield Frame("", None, True, thought.ended)
            return
        conditions = self._conditions(thought)
        for number, codes in enumerate(self.talker.speak(conditions), start=1):
            yield Frame(thought.text, codes, number == conditions.shape[1], thought.ended)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _think(self, question: Tensor) -> Thought:
        """Embeddings of the question (positions, width) -> answer, greedily."""
        self.language_model.start(self.prefix)
        ids: list[int] = []
        states: list[np.ndarray] = []
        inputs, ended = torch.cat([question, self.embeddings[self.chat.suffix].float()]), False
        while len(ids) < MAX_ANSWER_TOKENS:
            logits, hidden = self.language_model.step(inputs.numpy())
            if ids:
                states.append(hidden[-1])
            token = int(logits.argmax())
            if ended := token == self.chat.end:
                break
            ids.append(token)
            if in_a_loop(ids):
                ids = ids[:-LOOP_TOKENS]
                states = states[: len(ids)]
                break
            inputs = self.embeddings[[token]].float()
        text = self.tokenizer.decode(ids).strip()
        words = len(text.split())
        if not words:
            return Thought("", torch.zeros(0, self.embeddings.shape[1]), ended)
        states += states[-1:] * (len(ids) - len(states))
        owners = words_of_tokens(self.tokenizer, ids)
        return Thought(text, mean_by_word(torch.from_numpy(np.stack(states)), owners, words), ended)

    def _conditions(self, thought: Thought) -> Tensor:
        """What the talker has to say, a condition a codec frame: (1, frames, width)."""
        spoken = speech_text(thought.text, self.language)
        states = thought.states[spoken.words.clamp(max=len(thought.states) - 1)]
        return self.talker.plan(
            Conditioning(
                spoken.phonemes[None], spoken.words[None], states[None].float(), torch.ones(1, len(spoken.phonemes))
            )
        )


def teacher_forced(
    model: ServedLanguageModel, keys_values: np.ndarray, table: np.ndarray, asked: list[int], answer: list[int]
) -> np.ndarray:
    """keys_values as `start` takes them, table (vocabulary, width) of embeddings, ids of both texts -> (answer, vocabulary)."""
    model.start(keys_values)
    rows = [model.step(table[asked])[0]]
    return np.stack(rows + [model.step(table[[token]])[0] for token in answer[:-1]])


def assemble(assembly: Assembly) -> dict[str, Any]:
    """Copy both checkpoints and the served language model."""
    assert assembly.language_model, "the flow converts a frozen language model before it puts the model together"
    for stage, trained in assembly.trained.items():
        shutil.copytree(trained, assembly.folder / stage, ignore=shutil.ignore_patterns("card.json", "curve.parquet"))
    shutil.copytree(
        assembly.language_model, assembly.folder, ignore=shutil.ignore_patterns("card.json"), dirs_exist_ok=True
    )
    return {}


def convert_language_model(
    folder: Path,
    listen: Path,
    settings: LanguageModelSettings,
    weight_quantizer: str,
    turns: tuple[tuple[str, str], ...],
    home: Path,
    threads: int,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write language_model/, tokenizer/ and embeddings.safetensors into the folder, and measure what quantizing cost.

    listen: the stage's folder, behind whose prefix the turns (question, answer) are compared. Facts: those of a
    QuantizedLanguageModel.
    """
    quantizer = importlib.import_module(f"omni_core.weight_quantizers.{weight_quantizer}")
    lm = components.load("language_models", settings.name, settings, home)
    lm.tokenizer.save_pretrained(folder / "tokenizer")
    save_file({"embeddings": lm.embedding.detach().to(torch.bfloat16).clone()}, folder / "embeddings.safetensors")
    progress(0, 1, "converting the language model")
    (folder / "language_model").mkdir()
    quantizer.quantize(lm, folder / "language_model")
    progress(1, 1, "converting the language model")
    served = quantizer.load(folder / "language_model", threads)
    prefix = load_listen(listen)[1].keys_values.numpy()
    bytes_before = sum(p.numel() * 4 for p in lm.model.parameters())
    cost = loss_of_quality(lm, served, prefix, turns, progress)
    return {**cost, "float32_bytes": bytes_before, "context": lm.context}


def loss_of_quality(
    lm: CausalLanguageModel,
    served: ServedLanguageModel,
    prefix: np.ndarray,
    pairs: tuple[tuple[str, str], ...],
    progress: Progress = silent,
) -> dict[str, float]:
    """Mean cosine of the logits and share of equal next tokens at every answer position, teacher forced."""
    reference = TorchLanguageModel(lm.model)
    cosines, agreed = [], []
    for done, (question, answer) in enumerate(pairs):
        progress(done, len(pairs), "comparing with float32")
        ids = lm.tokens(question) + lm.chat.suffix
        for model in (reference, served):
            model.start(prefix)
        for token in [None, *lm.tokens(answer)]:
            embeddings = lm.embedding[ids if token is None else [token]].detach().numpy()
            a, b = (model.step(embeddings)[0] for model in (reference, served))
            cosines.append(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))
            agreed.append(a.argmax() == b.argmax())
    return {"logit_cosine": float(np.mean(cosines)), "token_agreement": float(np.mean(agreed))}
