"""parallel, served: one language model hears, thinks and speaks; two rows side by side, one for the sound, one for the words.

    row 0   features + answer in speech   -> audio streams ------> codes, frame by frame
    row 1   features + answer in text     -> text ---> read by both rows      (Xie and Wu 2024, section 3.2)

    head/ language_model/ tokenizer/ embeddings.safetensors

The trunk and the matrix that all streams are read off go through a weight quantizer as one causal model; around it stay the
table of embeddings, the adapter, and a post-adapter with its norms.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data_contracts.errors import ComponentError
from omni_core import components
from omni_core.chat_format import ChatFormat
from omni_core.codecs import Codec
from omni_core.encoders import Encoder
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.mini_omni import decoding, prompts
from omni_core.mini_omni.language_model import causal_model
from omni_core.mini_omni.prompts import Mode
from omni_core.plan_parallel import POST_ADAPTER_IN_ONNX
from omni_core.speech_heads import Assembly, Frame, Joint, parallel
from omni_core.speech_heads._parallel_blocks import decoder, final_norm, mean_of_streams
from omni_core.speech_heads.parallel import Caches, ParallelHead, StreamLogits
from omni_core.weight_quantizers import ServedLanguageModel

MAX_ANSWER_S = 30.0
MAX_WORDS_TOKENS = 128
"""Bounds of an answer and of a transcript, for a model that finds no end."""
COMPARED_STEPS = 24
AROUND = ("speech_adapter", "norm", "post_adapter", "post_norm", "post_head")
"""Parts of a head that no weight quantizer converts."""


class ServedHead:
    """A parallel head as decoding.Head, its trunk run by a weight quantizer."""

    def __init__(self, folder: Path, served: ServedLanguageModel):
        self.config, self.facts = parallel.read_config(folder / "head")
        self.layout, self.served = self.config.layout, served
        self.around = _around(folder, self.config)
        self.embeddings = load_file(folder / "embeddings.safetensors")["embeddings"]
        self.nothing_read = _empty_cache(self.around.trunk.config)
        self.post_adapter = self.around.post_adapter
        if self.post_adapter is not None:
            _leave_out_final_norm(served)

    @property
    def context_steps(self) -> int:
        return self.around.context_steps

    def start(self, rows: int) -> Caches:
        self.served.start(self.nothing_read, rows)
        return Caches()

    @torch.no_grad()
    def __call__(
        self,
        tokens: Tensor,
        features: Tensor | None = None,
        frame_counts: Tensor | None = None,
        caches: Caches | None = None,
        with_audio: bool = True,
        last_only: bool = False,
    ) -> StreamLogits:
        """Logits of the last position, whatever is asked: a served language model says no others."""
        embedded = mean_of_streams(self._table, self.around.speech_adapter, tokens, features, frame_counts)
        logits, hidden = (torch.from_numpy(found) for found in self.served.step_rows(embedded.numpy()))
        size, streams = self.layout.text_vocabulary_size, self.layout.num_streams
        if self.post_adapter is None:
            audio = logits[:, size : self.layout.total_size].unflatten(1, (streams, -1))[:, :, None]
            return StreamLogits(logits[:, None, :size], audio if with_audio else None)
        text = self.served.model.get_output_embeddings()(self.around.norm(hidden[:, -1:]))[..., :size]  # type: ignore[attr-defined]
        if not with_audio:
            return StreamLogits(text, None)
        return StreamLogits(text, self.around.audio_logits(self.around.deepen(hidden, caches)[:, -1:]).transpose(1, 2))

    def _table(self, tokens: Tensor) -> Tensor:
        return self.embeddings[tokens].float()


def _around(folder: Path, config: parallel.ParallelConfig) -> ParallelHead:
    """A head without the weights of its trunk, its table and its output matrix: those are served elsewhere."""
    with torch.device("meta"):
        head = parallel.empty(config)
    head.load_state_dict(load_file(folder / "head" / "around.safetensors"), strict=False, assign=True)
    if head.post_adapter is not None:  # what is computed and not stored (rotary frequencies) is made anew
        fresh = decoder(config.trunk, config.post_adapter_layers)[0]
        fresh.load_state_dict(head.post_adapter.state_dict())
        head.post_adapter = fresh
    return head.eval().requires_grad_(False)


def _empty_cache(trunk: Any) -> np.ndarray:
    """Keys and values of no position, (layers, 2, kv_heads, 0, head_width); trunk: a configuration of transformers."""
    heads = trunk.num_attention_heads
    width = getattr(trunk, "head_dim", None) or trunk.hidden_size // heads
    kv_heads = getattr(trunk, "num_key_value_heads", None) or heads
    return np.zeros((trunk.num_hidden_layers, 2, kv_heads, 0, width), np.float32)


def _leave_out_final_norm(served: ServedLanguageModel) -> None:
    """The post-adapter branches off before the last norm; it is applied outside."""
    model = getattr(served, "model", None)
    if model is None:
        raise ComponentError(POST_ADAPTER_IN_ONNX)
    base = model.base_model
    setattr(base, final_norm(base), nn.Identity())


class ParallelSpeaker:
    """See omni_core.speech_heads.Speaker."""

    def __init__(self, folder: Path, card: dict[str, Any], threads: int):
        from transformers import AutoTokenizer

        served = components.load("weight_quantizers", card["weight_quantizer"], folder / "language_model", threads)
        self.head = ServedHead(folder, served)
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.end, self.vocabulary = self.head.layout.text_end, self.head.layout.text_vocabulary_size
        self.context = self.head.context_steps
        self.pads_forced = bool(self.head.facts.get("pads_forced", False))
        self.max_steps = self.head.layout.max_delay + round(MAX_ANSWER_S * self.head.facts["frame_rate_hz"])

    def joints(self, encoder: Encoder, codec: Codec) -> list[Joint]:
        layout, width, rate = self.head.layout, self.head.config.encoder_width, self.head.facts["frame_rate_hz"]
        rows, table = layout.total_size, len(self.head.embeddings)
        return [
            Joint("values a frame", "the encoder", encoder.width, "the parallel head", width),
            Joint("ids of text and codes", "its layout", rows, "its table", min(rows, table)),
            Joint("codes a frame", "the parallel head", layout.num_streams, "the codec", codec.num_codebooks),
            Joint("values a code", "the parallel head", layout.codebook_size, "the codec", codec.codebook_size),
            Joint("frames a second", "the parallel head", rate, "the codec", codec.frame_rate_hz),
        ]

    def positions(self, question: Tensor) -> int:
        """The prompt and one frame of answer: a longer one ends where the context does."""
        layout = self.head.layout
        return prompts.heard(Mode.AUDIO_TO_AUDIO, layout, question.shape[1]).tokens.shape[2] + layout.max_delay + 1

    def listen(self, features: Tensor) -> Tensor:
        """(frames, width) -> (1, frames, width)."""
        return features[None].float()

    def heard(self, question: Tensor) -> str:
        return self._written(prompts.heard(Mode.RECOGNITION, self.head.layout, question.shape[1]), question)

    def answer_text(self, question: str) -> str:
        return self._written(prompts.written(Mode.TEXT_TO_TEXT, self.head.layout, self._ids(question)), None)

    def answer_logits(self, question: str, answer: list[int]) -> np.ndarray:
        tokens = prompts.written(Mode.TEXT_TO_TEXT, self.head.layout, self._ids(question)).tokens
        caches, rows = self.head.start(1), []
        for token in answer:
            rows.append(self.head(tokens, None, None, caches, with_audio=False).text[0, -1].numpy())
            tokens = _said_in_writing(token, self.head)
        return np.stack(rows)

    def answer(self, question: Tensor) -> Iterator[Frame]:
        layout, text = self.head.layout, list[int]()
        prompt = prompts.heard(Mode.AUDIO_TO_AUDIO_PARALLEL, layout, question.shape[1])
        steps = decoding.answer_steps(self.head, prompt, question, self.max_steps, pads_forced=self.pads_forced)
        waiting: Tensor | None = None  # a frame is the last one when no other follows
        for codes in decoding.frames(_noting(steps, text), layout):
            if waiting is not None:
                yield Frame(self._text(text), waiting, False)
            waiting = codes
        limit = min(self.max_steps, self.context - prompt.tokens.shape[2])
        yield Frame(self._text(text), waiting, True, ended=len(text) < limit)

    def _written(self, prompt: prompts.Prompt, features: Tensor | None) -> str:
        steps = decoding.answer_steps(self.head, prompt, features, MAX_WORDS_TOKENS, pads_forced=self.pads_forced)
        return self._text([int(step[-1]) for step in steps])

    def _text(self, tokens: list[int]) -> str:
        layout = self.head.layout
        written = decoding.written_tokens(torch.tensor(tokens), layout)
        return self.tokenizer.decode([token for token in written if token < layout.text_codes]).strip()

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def _noting(steps: Iterator[Tensor], text: list[int]) -> Iterator[Tensor]:
    for step in steps:
        text.append(int(step[-1]))
        yield step


def _said_in_writing(token: int, head: decoding.Head) -> Tensor:
    """What the next step of a written answer reads: (1, num_streams + 1, 1)."""
    pads = head.layout.tokens(torch.full((1, head.layout.num_streams, 1), head.layout.pad))
    return torch.cat([pads, torch.full((1, 1, 1), token)], 1)


def assemble(assembly: Assembly) -> dict[str, Any]:
    """Take the last stage's head apart, convert its trunk, and measure what that cost."""
    trained, folder = list(assembly.trained.values())[-1], assembly.folder
    quantizer = importlib.import_module(f"omni_core.weight_quantizers.{assembly.weight_quantizer}")
    head, (_, facts) = parallel.load(trained), parallel.read_config(trained)
    if head.post_adapter is not None and assembly.weight_quantizer == "onnx_int8":
        raise ComponentError(POST_ADAPTER_IN_ONNX)
    facts["frame_rate_hz"] = assembly.frame_rate_hz
    _write_around(head, folder, facts, exact=assembly.weight_quantizer == "none")
    (folder / "tokenizer").mkdir()
    for path in trained.iterdir():
        if path.name not in ("card.json", "curve.parquet", "model.safetensors", "config.json"):
            shutil.copy(path, folder / "tokenizer")
    assembly.progress(1, 3, "folder assembled")
    (folder / "language_model").mkdir()
    quantizer.quantize(_as_language_model(head, folder), folder / "language_model")
    assembly.progress(2, 3, "weights quantized")
    served = ServedHead(folder, quantizer.load(folder / "language_model", assembly.threads))
    return {**loss_of_quality(head, served, folder, assembly.turns),
            "float32_bytes": sum(p.numel() * 4 for p in head.parameters()), "context": head.context_steps}  # fmt: skip


def _write_around(head: ParallelHead, folder: Path, facts: dict[str, Any], exact: bool) -> None:
    """config.json as a head has it, the parts that stay in float32, and the table that embeddings are read from."""
    (folder / "head").mkdir()
    kept = {name: t for name, t in head.state_dict().items() if name.split(".")[0] in AROUND}
    parallel.write(folder / "head", head.config, {}, facts)
    (folder / "head" / "model.safetensors").unlink()
    save_file({name: t.contiguous() for name, t in kept.items()}, folder / "head" / "around.safetensors")
    table = head.trunk.get_input_embeddings()
    rows = table(torch.arange(len(table.weight)))  # as the trunk reads them: Gemma scales its table first
    save_file({"embeddings": rows.clone() if exact else rows.to(torch.bfloat16)}, folder / "embeddings.safetensors")


def _as_language_model(head: ParallelHead, folder: Path) -> CausalLanguageModel:
    """Trunk and output matrix of all streams, as weight quantizers take a language model."""
    from transformers import AutoTokenizer

    nothing = ChatFormat([], [], head.layout.text_end)
    return CausalLanguageModel(
        causal_model(head), AutoTokenizer.from_pretrained(folder / "tokenizer"), nothing, "", str(folder)
    )


@torch.no_grad()
def loss_of_quality(
    head: ParallelHead, served: ServedHead, folder: Path, turns: tuple[tuple[str, str], ...]
) -> dict[str, float]:
    """Mean cosine of the logits and share of equal ids, of text and every stream, where both read what float32 says."""
    from transformers import AutoTokenizer

    tokenizer, layout = AutoTokenizer.from_pretrained(folder / "tokenizer"), head.layout
    cosines, agreed = [], []
    for question, _ in turns:
        ids = tokenizer(question, add_special_tokens=False)["input_ids"]
        tokens = prompts.written(Mode.TEXT_TO_AUDIO, layout, ids).tokens
        caches = head.start(1), served.start(1)
        for _ in range(min(COMPARED_STEPS, head.context_steps - tokens.shape[2])):
            found = [head(tokens, caches=caches[0], last_only=True), served(tokens, caches=caches[1])]
            for a, b in zip(*(_of_all_streams(f) for f in found), strict=True):
                cosines.append(float(torch.cosine_similarity(a, b, dim=0)))
                agreed.append(bool(a.argmax() == b.argmax()))
            text, *audio = (int(logits.argmax()) for logits in _of_all_streams(found[0]))
            tokens = torch.cat([layout.tokens(torch.tensor(audio)[None, :, None]), torch.tensor([[[text]]])], 1)
    return {"logit_cosine": float(np.mean(cosines)), "token_agreement": float(np.mean(agreed))}


def _of_all_streams(logits: StreamLogits) -> list[Tensor]:
    """Of the last step of the only row: text first, then every audio stream."""
    assert logits.audio is not None, "asked for"
    return [logits.text[0, -1], *logits.audio[0, :, -1]]
