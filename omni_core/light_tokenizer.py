"""tokenizer.json and tokenizer_config.json enter; what omni_core.chat_format asks of a tokenizer leaves, without transformers.

transformers takes seconds to import; the `tokenizers` library and the template's own language (Jinja) take a twentieth.
Held equal to transformers' tokenizers by the tests.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import Any

from data_contracts.errors import WeightsError
from omni_core.model_files import ModelFiles

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


class LightTokenizer:
    """A fast tokenizer and its chat template."""

    def __init__(self, files: ModelFiles):
        from tokenizers import Tokenizer

        path = files.path("tokenizer.json")
        if path is None:
            raise WeightsError(
                f"'{files.weights}' has no tokenizer.json; save its tokenizer with transformers (AutoTokenizer, save_pretrained)"
            )
        self.tokenizer = Tokenizer.from_file(str(path))
        self.config = files.json("special_tokens_map.json") | files.json("tokenizer_config.json")
        template = files.path("chat_template.jinja")
        self.chat_template = template.read_text(encoding="utf-8") if template else _default_template(self.config)
        self.bos_token, self.eos_token = self._text("bos_token"), self._text("eos_token")

    def _text(self, name: str) -> str | None:
        token = self.config.get(name)
        return token["content"] if isinstance(token, dict) else token

    @property
    def eos_token_id(self) -> int | None:
        """Id of the end of text."""
        return self.tokenizer.token_to_id(self.eos_token) if self.eos_token else None

    @cached_property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """Ids of the tokens that are not from the vocabulary's training: special ones and added ones."""
        return self.tokenizer.get_added_tokens_decoder()

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def counts(self, texts: list[str]) -> list[list[int]]:
        """Ids of many texts, without special tokens."""
        return [found.ids for found in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool = False) -> str:
        """The conversation as the template writes it (transformers' settings of Jinja, sandboxed as there)."""
        from jinja2.exceptions import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
        environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        special = {name: text for name in SPECIAL if (text := self._text(name))}
        return environment.from_string(self.chat_template or "").render(
            messages=messages, add_generation_prompt=False, tools=None, documents=None, **special
        )


def _default_template(config: dict[str, Any]) -> str | None:
    template = config.get("chat_template")
    if isinstance(template, list):
        return next((t["template"] for t in template if t["name"] == "default"), None)
    return template
