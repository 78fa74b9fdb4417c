"""A tokenizer and a system prompt enter; the token ids around a question and its answer leave.

    prefix  "<system ...><user>"    question    suffix  "<end><assistant>"    answer    end "<end>"

The pieces are cut out of the tokenizer's own chat template; a model without one gets "Question: ... Answer: ...".
Any object will do that has chat_template, bos_token, eos_token, eos_token_id, added_tokens_decoder, apply_chat_template
and can be called, as transformers' tokenizers can; nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_contracts.errors import ComponentError

MARK_QUESTION, MARK_ANSWER = "Q_MARK_7f3a", "A_MARK_7f3a"


@dataclass(frozen=True)
class ChatFormat:
    """Token ids around a question and its answer; `end` is the id that ends an answer."""

    prefix: list[int]
    suffix: list[int]
    end: int


def chat_format(tokenizer: Any, system_prompt: str, examples: list[tuple[str, str]] = []) -> ChatFormat:  # noqa: B006 read only
    """Cut the chat template at the question and the answer; examples (question, answer) go before, as past turns."""
    messages = [{"role": "system", "content": system_prompt}]
    for question, answer in [*examples, (MARK_QUESTION, MARK_ANSWER)]:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole = _render(tokenizer, messages)
    if whole.count(MARK_QUESTION) != 1 or whole.count(MARK_ANSWER) != 1:
        raise ComponentError(
            "the language model's chat template does not write a question and its answer once each, so it cannot be cut "
            "around them; choose another instruction-tuned model or remove the template"
        )
    before, rest = whole.split(MARK_QUESTION)
    suffix, after = rest.split(MARK_ANSWER)
    return ChatFormat(_ids(tokenizer, before), _ids(tokenizer, suffix), _end(tokenizer, after))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _end(tokenizer: Any, after: str) -> int:
    """The first special token behind an answer: Llama 2 writes a space before it, others a line break after it."""
    ids = _ids(tokenizer, after)
    special = set(tokenizer.added_tokens_decoder) | {tokenizer.eos_token_id}
    found = next((i for i in ids if i in special), ids[0] if ids else tokenizer.eos_token_id)
    if found is None:
        raise ComponentError(
            "the language model's tokenizer has neither a chat template nor an end-of-text token, so an answer could not end; choose an instruction-tuned model"
        )
    return found


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The conversation as text; templates that know no system role (Gemma 2's) get it in front of the first question."""
    if not tokenizer.chat_template:
        return _render_plainly(tokenizer, messages)
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as error:
        if "system" not in str(error).lower():
            raise
        first = {"role": "user", "content": f"{messages[0]['content']}\n{messages[1]['content']}"}
        return tokenizer.apply_chat_template([first, *messages[2:]], tokenize=False)


def _render_plainly(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """Without a template: lines of question and answer; behind the start token where the tokenizer writes one itself."""
    turns = [f"{'Question' if m['role'] == 'user' else 'Answer'}: {m['content']}" for m in messages[1:]]
    ends = [line + (tokenizer.eos_token or "") if line.startswith("Answer") else line for line in turns]
    own = tokenizer("a")["input_ids"]
    start = tokenizer.bos_token if tokenizer.bos_token and _ids(tokenizer, tokenizer.bos_token) == own[:1] else ""
    return start + "\n".join([messages[0]["content"], *ends])
