"""Surprise is what a language model's own loss says, whether it reads a token at a time or all at once."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from omni_core.text_probes import Question, answer_ids, questions, read_base, reading, surprise
from omni_core.text_questions import EXAMPLES

ITEM = Question("What do bees make?", "Bees make honey.", "honey")


@pytest.fixture(scope="module")
def lm(weights):
    from pathlib import Path

    from data_contracts.components import LanguageModelSettings
    from omni_core.language_models import huggingface

    return huggingface.load(LanguageModelSettings(weights=str(weights / "smollm2_135m_instruct")), Path())


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=9), st.data())
def test_surprise_is_scipys_log_softmax(logits, data):
    token = data.draw(st.integers(0, len(logits) - 1))
    assert surprise(np.array(logits), token) == pytest.approx(-log_softmax(logits)[token])


def test_there_are_fifty_questions_whose_key_stands_once_in_the_answer_and_no_example_is_among_them():
    assert len(questions()) == 50 == len({q.question for q in questions()})
    assert all(len(re.findall(rf"\b{q.key}\b", q.answer)) == 1 for q in questions())
    assert not {question for question, _ in EXAMPLES} & {q.question for q in questions()}


def test_the_key_is_where_its_word_begins(lm):
    for item in questions():
        ids, place = answer_ids(lm.tokenizer, item, lm.chat.end)
        assert item.key.startswith(lm.tokenizer.decode(ids[place]).strip()) and lm.tokenizer.decode(ids[place]).strip()
        assert ids[-1] == lm.chat.end


def test_stepwise_and_whole_readings_agree_with_the_models_own_loss(lm):
    from omni_core.speech_heads._talker_served import teacher_forced
    from omni_core.weight_quantizers.none import TorchLanguageModel

    config = lm.model.config
    nothing = np.zeros(
        (config.num_hidden_layers, 2, config.num_key_value_heads, 0, config.hidden_size // config.num_attention_heads),
        np.float32,
    )
    asked = lm.chat.prefix + lm.tokens(ITEM.question) + lm.chat.suffix
    answer, key = answer_ids(lm.tokenizer, ITEM, lm.chat.end)
    whole = read_base(lm.model, asked, answer, key)
    step = reading(
        teacher_forced(TorchLanguageModel(lm.model), nothing, lm.embedding.numpy(), asked, answer), answer, key
    )
    labels = torch.tensor([[-100] * len(asked) + answer])
    with torch.inference_mode():
        loss = float(lm.model(torch.tensor([asked + answer]), labels=labels).loss)
    assert whole.nats / whole.tokens == pytest.approx(loss, rel=1e-3) and whole.tokens == len(answer)
    assert step.nats == pytest.approx(whole.nats, rel=1e-3) and step.right == whole.right


def test_examples_of_the_form_take_surprise_off_the_base_model(lm):
    from omni_core.language_models.huggingface import chat_format

    answer, key = answer_ids(lm.tokenizer, ITEM, lm.chat.end)
    bare, shown = (
        read_base(lm.model, chat.prefix + lm.tokens(ITEM.question) + chat.suffix, answer, key)
        for chat in (lm.chat, chat_format(lm.tokenizer, lm.system_prompt, list(EXAMPLES)))
    )
    assert shown.nats < bare.nats
