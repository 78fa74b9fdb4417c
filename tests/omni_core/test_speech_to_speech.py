"""What needs no trained model; the flow's own test lets a whole tiny model answer."""

from omni_core.speech_heads._talker_served import LOOP_TOKENS, in_a_loop


def test_saying_the_same_again_is_a_loop():
    once = list(range(LOOP_TOKENS))
    assert in_a_loop(once + once)
    assert in_a_loop([99, *once, 98, *once])


def test_an_answer_that_repeats_a_few_words_is_no_loop():
    once = list(range(LOOP_TOKENS))
    assert not in_a_loop(once)
    assert not in_a_loop(once + once[:-1])
    assert not in_a_loop(once[:-1] + once[:-1])
