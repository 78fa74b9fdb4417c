"""huggingface: any causal language model of transformers, by folder or hub id, frozen; with its chat format taken apart.

    prefix  "<system ...><user>"    question    suffix  "<end><assistant>"    answer    end "<end>"

The pieces are cut out of the tokenizer's own chat template; a model without one gets "Question: ... Answer: ...".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import bundled_weights

MARK_QUESTION, MARK_ANSWER = "Q_MARK_7f3a", "A_MARK_7f3a"


@dataclass(frozen=True)
class ChatFormat:
    """Token ids around a question and its answer; `end` is the id that ends an answer."""

    prefix: list[int]
    suffix: list[int]
    end: int


@dataclass(frozen=True)
class CausalLanguageModel:
    """A frozen model, its tokenizer and its chat format."""

    model: Any
    tokenizer: Any
    chat: ChatFormat
    system_prompt: str
    folder: str

    @property
    def width(self) -> int:
        """Width of embeddings and hidden states."""
        return self.model.config.get_text_config().hidden_size

    @property
    def embedding(self) -> Tensor:
        """Token embeddings (vocabulary, width)."""
        return self.model.get_input_embeddings().weight

    def tokens(self, text: str) -> list[int]:
        """Text -> ids without special tokens."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def chat_format(tokenizer, system_prompt: str, examples: list[tuple[str, str]] = []) -> ChatFormat:  # noqa: B006 read only
    """Cut the chat template at the question and the answer; examples (question, answer) go before, as past turns."""
    messages = [{"role": "system", "content": system_prompt}]
    for question, answer in [*examples, (MARK_QUESTION, MARK_ANSWER)]:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole = _render(tokenizer, messages)
    before, rest = whole.split(MARK_QUESTION, 1)
    suffix, after = rest.split(MARK_ANSWER, 1)

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    end = ids(after) or [tokenizer.eos_token_id]
    if end[0] is None:
        raise ComponentError(
            "the language model's tokenizer has neither a chat template nor an end-of-text token, so an answer could not end; choose an instruction-tuned model"
        )
    return ChatFormat(ids(before), ids(suffix), end[0])


def _render(tokenizer, messages: list[dict[str, str]]) -> str:
    """The conversation as text; templates that know no system role (Gemma's) get it in front of the first question."""
    if not tokenizer.chat_template:
        turns = [f"{'Question' if m['role'] == 'user' else 'Answer'}: {m['content']}" for m in messages[1:]]
        ends = [line + (tokenizer.eos_token or "") if line.startswith("Answer") else line for line in turns]
        return "\n".join([messages[0]["content"], *ends])
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as error:
        if "system" not in str(error).lower():
            raise
        first = {"role": "user", "content": f"{messages[0]['content']}\n{messages[1]['content']}"}
        return tokenizer.apply_chat_template([first, *messages[2:]], tokenize=False)


def load(settings: LanguageModelSettings, home: Path, dtype: torch.dtype = torch.float32) -> CausalLanguageModel:
    """Folder, hub id or bundled:NAME -> frozen model in `dtype`. Raises WeightsError with the mend."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = bundled_weights.resolve(settings.weights, home)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"no causal language model in '{settings.weights}': {str(error).splitlines()[0]}; name a folder made by save_pretrained or a hub id"
        ) from error
    return CausalLanguageModel(
        model.eval().requires_grad_(False),
        tokenizer,
        chat_format(tokenizer, settings.system_prompt),
        settings.system_prompt,
        where,
    )
