"""The same content in other words is right, one other slot is wrong; embeddings of a small language model cannot tell that."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_core.languages.en import NEGATIONS
from omni_core.metrics.semantic_accuracy import f1, same_content

COUNTERS = st.lists(st.sampled_from(["lamp", "kitchen", "on", "off", "not", "5"]), max_size=6).map(Counter)


@pytest.mark.parametrize(("reference", "answer", "right"), [
    ("The kitchen lights are now on.", "The kitchen lights are on.", 1),
    ("The kitchen lights are now on.", "I turned on the kitchen lights.", 1),
    ("The kitchen lights are now on.", "The kitchen lights are now off.", 0),
    ("The kitchen lights are now on.", "The bedroom lights are now on.", 0),
    ("The kitchen lights are now on.", "The kitchen lights are not on.", 0),
    ("Five plus four is nine.", "9", 0),                                   # the question's slots are not said
    ("Nine.", "It is 9.", 1),
    ("Your timer is set for ten minutes.", "Your timer is set for 10 minutes.", 1),
    ("Your timer is set for ten minutes.", "Your timer is set for 10 minutes and 5 seconds.", 0),
    ("Take an umbrella in Oslo.", "In Oslo, take your umbrella please.", 1),
    ("Take an umbrella.", "Take an umbrella, boots, gloves, scarf, hat, coat.", 0),   # it names everything
    ("It is.", "It is.", 1),                                               # nothing but function words
    ("It is.", "Was it?", 0),
    ("Nine.", "", 0),
])  # fmt: skip
def test_content_decides_and_wording_does_not(load, turn, reference, answer, right):
    columns = load("semantic_accuracy").score([turn(reference_text=reference, spoken_text=answer, transcript=answer)])
    assert columns["same_content"] == columns["spoken_same_content"] == [right]


def test_a_pack_without_function_words_drops_none(turn):
    from omni_core.metrics.semantic_accuracy import load

    class Plain:
        def words(self, text):
            return text.lower().split()

    score = load(Plain()).score
    assert score([turn(reference_text="lamp the on", spoken_text="the lamp on")])["same_content"] == [1]
    assert score([turn(reference_text="the lamp on", spoken_text="lamp on")])["same_content"] == [0]


@given(wanted=COUNTERS, answer=COUNTERS)
def test_the_same_content_is_found_in_itself_and_f1_is_the_harmonic_mean(wanted, answer):
    assert same_content(wanted, wanted, NEGATIONS) == bool(wanted)
    common = sum(min(wanted[w], answer[w]) for w in wanted)
    if common:
        precision, recall = common / sum(answer.values()), common / sum(wanted.values())
        assert f1(wanted, answer) == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert f1(wanted, answer) == 0
    if same_content(wanted, answer, NEGATIONS):
        assert recall == 1 and f1(wanted, answer) >= 2 / 3


def test_mean_pooled_states_of_the_projects_language_model_would_judge_it_the_other_way_round(weights):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(weights / "smollm2_135m_instruct")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)

    def pooled(text):
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0]
        return torch.nn.functional.normalize(states.mean(0), dim=0)

    said, opposite, reworded = (pooled(text) for text in (
        "The kitchen lights are now on.", "The kitchen lights are now off.", "I turned on the kitchen lights."))  # fmt: skip
    assert said @ opposite > said @ reworded + 0.01
