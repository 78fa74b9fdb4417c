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
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.mini_omni import decoding, prompts
from omni_core.mini_omni.language_model import causal_model
from omni_core.mini_omni.prompts import Mode
from omni_core.plan_parallel import POST_ADAPTER_IN_ONNX
from omni_core.speech_heads import Assembly, Frame, parallel
from omni_core.speech_heads.parallel import FINAL_NORMS, Caches, ParallelHead, StreamLogits
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
        self.table = nn.Embedding.from_pretrained(load_file(folder / "embeddings.safetensors")["embeddings"])
        self.post_adapter = self.around.post_adapter
        if self.post_adapter is not None:
            _leave_out_final_norm(served)

    @property
    def context_steps(self) -> int:
        return self.around.context_steps

    def start(self, rows: int) -> Caches:
        self.served.start(None, rows)
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
        embedded = parallel.mean_of_streams(self.table, self.around.speech_adapter, tokens, features, frame_counts)
        logits, hidden = (torch.from_numpy(found) for found in self.served.step_rows(embedded.float().numpy()))
        size, streams = self.layout.text_vocabulary_size, self.layout.num_streams
        if self.post_adapter is None:
            audio = logits[:, size : self.layout.total_size].unflatten(1, (streams, -1))[:, :, None]
            return StreamLogits(logits[:, None, :size], audio if with_audio else None)
        text = self.served.model.get_output_embeddings()(self.around.norm(hidden[:, -1:]))[..., :size]  # type: ignore[attr-defined]
        if not with_audio:
            return StreamLogits(text, None)
        return StreamLogits(text, self.around.audio_logits(self.around.deepen(hidden, caches)[:, -1:]).transpose(1, 2))


def _around(folder: Path, config: parallel.ParallelConfig) -> ParallelHead:
    """A head without the weights of its trunk, its table and its output matrix: those are served elsewhere."""
    with torch.device("meta"):
        head = parallel.empty(config)
    head.load_state_dict(load_file(folder / "head" / "around.safetensors"), strict=False, assign=True)
    if head.post_adapter is not None:  # what is computed and not stored (rotary frequencies) is made anew
        fresh = parallel.decoder(config.trunk, config.post_adapter_layers)[0]
        fresh.load_state_dict(head.post_adapter.state_dict())
        head.post_adapter = fresh
    return head.eval().requires_grad_(False)


def _leave_out_final_norm(served: ServedLanguageModel) -> None:
    """The post-adapter branches off before the last norm; it is applied outside."""
    model = getattr(served, "model", None)
    if model is None:
        raise ComponentError(POST_ADAPTER_IN_ONNX)
    base = model.base_model
    setattr(base, next(name for name in FINAL_NORMS if hasattr(base, name)), nn.Identity())


class ParallelSpeaker:
    """See omni_core.speech_heads.Speaker."""

    def __init__(self, folder: Path, card: dict[str, Any], threads: int):
        from transformers import AutoTokenizer

        served = components.load("weight_quantizers", card["weight_quantizer"], folder / "language_model", threads)
        self.head = ServedHead(folder, served)
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.end = self.head.layout.text_end
        self.pads_forced = bool(self.head.facts.get("pads_forced", False))
        self.max_steps = self.head.layout.max_delay + round(MAX_ANSWER_S * self.head.facts["frame_rate_hz"])

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
        yield Frame(self._text(text), waiting, True)

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
    facts["frame_rate_hz"] = _frame_rate_hz(assembly)
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
            "float32_bytes": sum(p.numel() * 4 for p in head.parameters())}  # fmt: skip


def _frame_rate_hz(assembly: Assembly) -> float:
    codec = assembly.parts.codec
    return components.load("codecs", codec.name, codec, assembly.folder / "codec", assembly.folder).frame_rate_hz


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
            found = [
                model(tokens, caches=cache, last_only=True) for model, cache in zip((head, served), caches, strict=True)
            ]
            for a, b in zip(*([f.text[0, -1], *f.audio[0, :, -1]] for f in found), strict=True):
                cosines.append(float(torch.cosine_similarity(a, b, dim=0)))
                agreed.append(bool(a.argmax() == b.argmax()))
            audio = layout.tokens(found[0].audio[:, :, -1].argmax(-1)[..., None])
            tokens = torch.cat([audio, found[0].text[:, -1].argmax(-1)[:, None, None]], 1)
    return {"logit_cosine": float(np.mean(cosines)), "token_agreement": float(np.mean(agreed))}
