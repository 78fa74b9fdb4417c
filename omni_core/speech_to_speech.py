"""The whole model as it is served: a spoken question enters, a written and spoken answer leaves, sound before it is finished.

waveform -> encoder -> adapter -> language model behind the tuned prefix -> text and states
                                                                              | phonemes
                                    chunks of waveform <- codec <- codes <- talker
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from data_contracts.components import ComponentsSettings
from data_contracts.errors import SourceError
from omni_core import components
from omni_core.audio import resample
from omni_core.codecs._streaming import open_stream
from omni_core.language_models.huggingface import chat_format
from omni_core.speech_heads.talker import Conditioning
from omni_core.speech_text import speech_text
from omni_core.train import load_listen, load_speak
from omni_core.word_states import mean_by_word, words_of_tokens

MAX_ANSWER_TOKENS = 64
FIRST_CHUNK_S, CHUNK_S = 0.4, 1.2
"""The first chunk is short, so that it is heard early; the next are long, so that fewer borders are computed twice."""
MIN_QUESTION_S = 0.1
SILENCE_DB = -60.0
"""A question that never passes this level (of full scale) is a muted microphone: it is not listened to."""


Outcome = Literal["answered", "nothing heard", "nothing said"]
"""nothing heard: the question holds no words (silence, noise), so there is no answer, neither text nor sound;
nothing said: the model heard words and answered with none."""

LOOP_TOKENS = 6
"""An answer that says so many tokens again in one piece goes round in circles, as small greedy models do; it ends there."""


def in_a_loop(ids: list[int]) -> bool:
    """True when the last LOOP_TOKENS ids have stood together before in the answer."""
    last = ids[-LOOP_TOKENS:]
    return any(ids[at : at + LOOP_TOKENS] == last for at in range(len(ids) - 2 * LOOP_TOKENS + 1))


def holds_words(text: str) -> bool:
    """True when there is a letter or a figure in it: what else the adapter writes is breath and noise, and no question."""
    return any(character.isalnum() for character in text)


@dataclass(frozen=True)
class Answer:
    """What was heard, what came back, and how fast. Times are from the end of the question, in seconds."""

    heard_text: str
    text: str
    waveform: np.ndarray
    sample_rate_hz: int
    time_to_first_audio_s: float
    total_s: float
    ended: bool = True
    """The text came to its end token; False: it was cut off, at MAX_ANSWER_TOKENS or where it went round in circles."""

    @property
    def outcome(self) -> Outcome:
        """What a program that asked has to tell apart; see OUTCOMES."""
        if not holds_words(self.heard_text):
            return "nothing heard"
        return "answered" if len(self.waveform) else "nothing said"


@dataclass(frozen=True)
class Thought:
    """A written answer, the language model's state at each of its words, (words, width), and whether it came to its end."""

    text: str
    states: Tensor
    ended: bool = True


class SpeechToSpeech:
    """A loaded model folder; answers one question at a time."""

    def __init__(self, folder: Path, threads: int):
        from transformers import AutoTokenizer

        card = json.loads((folder / "model.json").read_text())
        parts = ComponentsSettings.model_validate(card["components"])
        self.language = components.load("languages", card["language"])
        self.encoder = components.load(
            "encoders",
            parts.encoder.name,
            parts.encoder.model_copy(update={"weights": str(folder / "encoder")}),
            folder,
        )
        self.adapter, prefix = load_listen(folder / "listen")
        self.prefix = prefix.keys_values.numpy()
        self.talker = load_speak(folder / "speak")
        self.codec = components.load("codecs", parts.codec.name, parts.codec, folder / "codec", folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.chat = chat_format(self.tokenizer, parts.language_model.system_prompt)
        self.embeddings = load_file(folder / "embeddings.safetensors")["embeddings"]
        self.language_model = components.load(
            "weight_quantizers", card["weight_quantizer"], folder / "language_model", threads
        )
        self.sample_rate_hz = self.codec.sample_rate_hz
        self.context = int(card.get("context", 0))
        """Positions that the language model reads; 0: it states no limit."""

    @classmethod
    def load(cls, folder: str | Path, threads: int = 2) -> SpeechToSpeech:
        """Model folder -> model; sets torch's threads for the whole process."""
        torch.set_num_threads(threads)
        return cls(Path(folder), threads)

    @property
    def longest_question_s(self) -> float:
        """What the encoder hears at once; infinite for one without a window."""
        return getattr(self.encoder, "max_samples", math.inf) / self.encoder.sample_rate_hz

    @torch.no_grad()
    def features(self, waveform: np.ndarray, sample_rate_hz: int) -> Tensor:
        """(samples,) at any rate -> encoder features (frames, width)."""
        if len(waveform) < MIN_QUESTION_S * sample_rate_hz:
            raise SourceError(
                f"the question lasts {len(waveform) / sample_rate_hz:.2f} s; a question needs at least {MIN_QUESTION_S} s"
            )
        if len(waveform) > (longest_s := self.longest_question_s) * sample_rate_hz:
            raise SourceError(
                f"the question lasts {len(waveform) / sample_rate_hz:.1f} s and the encoder hears {longest_s:g} s at once; "
                "ask in shorter pieces"
            )
        samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, self.encoder.sample_rate_hz)
        return self.encoder.encode([torch.from_numpy(np.ascontiguousarray(samples))])[0]

    @torch.no_grad()
    def _listen(self, waveform: np.ndarray, sample_rate_hz: int) -> tuple[str, Tensor]:
        """The question in the words that the adapter hears, and as embeddings (segments, width); silence holds none."""
        features = self.features(waveform, sample_rate_hz)
        if np.abs(waveform).max() < 10 ** (SILENCE_DB / 20):
            return "", torch.zeros(0, self.embeddings.shape[1])
        tokens, question = self.adapter.listen(features)
        return self.tokenizer.decode(tokens).strip(), question

    def hear(self, waveform: np.ndarray, sample_rate_hz: int) -> str:
        """The question as the adapter hears it, in words."""
        return self._listen(waveform, sample_rate_hz)[0]

    @torch.no_grad()
    def round_trip(self, waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, int]:
        """A waveform through the codec and back, and the codec's rate: what the speech head could reach at best."""
        samples = resample(np.asarray(waveform, np.float32), sample_rate_hz, self.sample_rate_hz)
        codes = self.codec.encode(torch.from_numpy(np.ascontiguousarray(samples))[None])
        return self.codec.decode(codes)[0].numpy(), self.sample_rate_hz

    def answer_text(self, question: str) -> str:
        """The text path: a written question through the same prefix and model."""
        ids = self.tokenizer(question, add_special_tokens=False)["input_ids"]
        return self.think(question, self.embeddings[ids].float()).text

    def positions(self, question: Tensor) -> int:
        """Positions that this question (positions, width) and the longest answer take in the language model's context."""
        return self.prefix.shape[3] + len(question) + len(self.chat.suffix) + MAX_ANSWER_TOKENS

    def think(self, heard: str, question: Tensor) -> Thought:
        """A question in words and as embeddings (positions, width) -> answer, greedily; to no words none.

        Raises SourceError for a question that the language model's context does not hold.
        """
        if not holds_words(heard):
            return Thought("", torch.zeros(0, self.embeddings.shape[1]))
        if 0 < self.context < (needed := self.positions(question)):
            raise SourceError(
                f"the question is {len(question)} tokens long; with prefix and answer that makes {needed} positions, and the "
                f"language model reads {self.context}; ask in shorter pieces"
            )
        self.language_model.start(self.prefix)
        ids: list[int] = []
        states: list[np.ndarray] = []
        inputs = torch.cat([question, self.embeddings[self.chat.suffix].float()])
        ended = False
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

    @torch.no_grad()
    def speak(self, thought: Thought) -> Iterator[np.ndarray]:
        """Chunks of waveform (samples,); put together they are the whole decoding, so joints do not crack."""
        if not thought.text:
            return
        conditions = self._conditions(thought)
        rate, decoding = self.codec.frame_rate_hz, open_stream(self.codec)
        codes: list[Tensor] = []
        wanted = self.codec.look_ahead_frames + max(1, round(FIRST_CHUNK_S * rate))
        for number, frame in enumerate(self.talker.speak(conditions), start=1):
            codes.append(frame)
            last = number == conditions.shape[1]
            if last or len(codes) >= wanted:
                yield decoding.push(torch.stack(codes, 1)[None], last)[0].numpy()
                codes, wanted = [], max(1, round(CHUNK_S * rate))

    def stream(self, waveform: np.ndarray, sample_rate_hz: int) -> Iterator[tuple[str, np.ndarray]]:
        """A question -> (whole text of the answer, chunk of its waveform), chunk by chunk; one without samples for no answer."""
        thought = self.think(*self._listen(waveform, sample_rate_hz))
        heard = False
        for chunk in self.speak(thought):
            heard = True
            yield thought.text, chunk
        if not heard:
            yield thought.text, np.zeros(0, np.float32)

    def answer(self, waveform: np.ndarray, sample_rate_hz: int, seed: int = 0) -> Answer:
        """A question -> the whole answer with its times. Decoding is greedy; the seed only fixes a sampling codec."""
        torch.manual_seed(seed)
        started = time.perf_counter()
        first, chunks = 0.0, [np.zeros(0, np.float32)]
        heard, question = self._listen(waveform, sample_rate_hz)
        thought = self.think(heard, question)
        for chunk in self.speak(thought):
            first = first or time.perf_counter() - started
            chunks.append(chunk)
        total = time.perf_counter() - started
        return Answer(heard, thought.text, np.concatenate(chunks), self.sample_rate_hz, first, total, thought.ended)
