"""The frozen language model: its chat format taken apart, its states by word, and the tuned prefix before it."""

import pytest
import torch
import torch.nn.functional as F

from data_contracts.components import LanguageModelSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from omni_core.language_models.huggingface import chat_format
from omni_core.listen import answer_loss, example_turns
from omni_core.prefix import prefix_of_tokens
from omni_core.word_states import mean_by_word, states_of_answers, words_of_tokens
from tests.flows import tiny


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tiny.write_language_model(tmp_path_factory.mktemp("lm"), tiny.turns(count=4))
    settings = LanguageModelSettings(weights=str(folder), system_prompt="Answer.")
    return components.load("language_models", "huggingface", settings, tmp_path_factory.mktemp("home"))


def test_the_pieces_of_the_chat_format_are_the_template_s_own_text(lm):
    chat = chat_format(lm.tokenizer, "Answer.", [("One?", "Yes.")])
    ids = [*chat.prefix, *lm.tokens("Two?"), *chat.suffix, *lm.tokens("No."), chat.end]
    messages = [("system", "Answer."), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?"), ("assistant", "No.")]
    whole = lm.tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in messages], tokenize=False)
    assert lm.tokenizer.decode(ids) == whole


def test_a_tokenizer_without_a_template_gets_question_and_answer(lm):
    import copy

    plain = copy.deepcopy(lm.tokenizer)
    plain.chat_template = None
    chat = chat_format(plain, "Be brief.")
    assert plain.decode(chat.prefix) == "Be brief.\nQuestion: "
    assert plain.decode(chat.suffix) == "\nAnswer: " and chat.end == plain.eos_token_id


def test_a_template_without_a_system_role_gets_it_in_the_first_question(lm):
    import copy

    picky = copy.deepcopy(lm.tokenizer)
    picky.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + tiny.CHAT
    )
    assert "Be brief.\n" in picky.decode(chat_format(picky, "Be brief.").prefix)


def test_a_tokenizer_that_cannot_end_is_refused(lm):
    import copy

    endless = copy.deepcopy(lm.tokenizer)
    endless.chat_template, endless.eos_token = None, None
    with pytest.raises(ComponentError, match="could not end"):
        chat_format(endless, "x")


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no causal language model in"):
        components.load("language_models", "huggingface", LanguageModelSettings(weights=str(tmp_path)), tmp_path)


@pytest.mark.parametrize("text", ["The kitchen light is on.", "Two  spaces, and a comma", "word", "It's 5 o'clock."])
def test_tokens_fall_to_the_words_that_hold_them(lm, text):
    ids = lm.tokens(text)
    owners = words_of_tokens(lm.tokenizer, ids)
    words = [
        lm.tokenizer.decode([i for i, o in zip(ids, owners, strict=True) if o == w]).strip()
        for w in range(max(owners) + 1)
    ]
    assert [w for w in words if w] == text.split()


def test_mean_by_word_by_hand():
    states = torch.tensor([[1.0], [3.0], [5.0]])
    assert mean_by_word(states, [0, 0, 2], 3).tolist() == [[2.0], [2.0], [5.0]]


@torch.no_grad()
def test_states_of_a_batch_are_those_of_each_answer_alone(lm):
    pairs = [("Turn on light 1 in the hall.", "The hall light is on."), ("Turn on light 2.", "On.")]
    together = states_of_answers(lm, pairs)
    for pair, states in zip(pairs, together, strict=True):
        assert states.shape == (len(pair[1].split()), lm.width)
        assert torch.allclose(states, states_of_answers(lm, [pair])[0], atol=1e-4)


@torch.no_grad()
def test_behind_the_untuned_prefix_the_model_says_what_it_says_to_the_whole_text(lm):
    """The slow obvious way: one forward pass over prefix, question and answer as plain ids."""
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    question, answer = lm.tokens("Turn on light 1 in the hall."), "The hall light is on."
    wanted = [*lm.tokens(answer), lm.chat.end]
    head = lm.chat.prefix + question + lm.chat.suffix
    logits = lm.model(input_ids=torch.tensor([head + wanted])).logits[0, len(head) - 1 : -1]
    slow = F.cross_entropy(logits, torch.tensor(wanted))
    fast = answer_loss(lm, prefix, [lm.embedding[question]], [answer])
    assert fast == pytest.approx(float(slow), abs=1e-4)


def test_only_the_prefix_learns(lm):
    prefix = prefix_of_tokens(lm.model, lm.chat.prefix)
    answer_loss(lm, prefix, [lm.embedding[lm.tokens("Light?")]], ["On."]).backward()
    assert prefix.keys_values.grad.abs().sum() > 0
    assert all(p.grad is None for p in lm.model.parameters())


def test_examples_are_drawn_topic_by_topic():
    turns = [{"topic": t, "question_text": f"{t}{i}", "answer_text": "a"} for t in ("x", "y", "z") for i in range(5)]
    drawn = [question[0] for question, _ in example_turns(turns, 6, seed=1)]
    assert drawn == ["x", "y", "z", "x", "y", "z"]
    assert len(example_turns(turns, 99, seed=1)) == 15
