"""Which turns go together into a batch, and which into the prefix."""

from hypothesis import given
from hypothesis import strategies as st

from omni_core.listen import batches_of_like_length, example_turns

WEATHER = {"raining": "an umbrella", "hot": "a bottle of water", "icy": "warm gloves"}


def turn(topic: str, question: str, answer: str) -> dict[str, str]:
    return {"topic": topic, "question_text": question, "answer_text": answer}


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 16), st.integers(0, 5))
def test_batches_hold_every_turn_once(lengths, batch, seed):
    batches = batches_of_like_length(lengths, batch, seed)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert max(map(len, batches)) <= batch
    assert batches == batches_of_like_length(lengths, batch, seed)


def test_batches_of_like_length_pad_less_than_shuffled_ones():
    lengths = [5 + (row * 7919) % 40 for row in range(512)]

    def padding(batches):
        return sum(
            max(lengths[row] for row in rows) * len(rows) - sum(lengths[row] for row in rows) for rows in batches
        )

    shuffled = [list(range(at, at + 16)) for at in range(0, 512, 16)]
    assert padding(batches_of_like_length(lengths, 16, 0)) < padding(shuffled) / 3


def test_examples_show_every_kind_of_answer_before_any_twice():
    often = [turn("weather", f"It is raining in {city}.", f"Take an umbrella in {city}.") for city in "ABCDEFGH"]
    rare = [turn("weather", f"It is {kind} in A.", f"Take {thing} in A.") for kind, thing in WEATHER.items()]
    chosen = example_turns(often + rare, 3, seed=0)
    assert {thing for _, answer in chosen for thing in WEATHER.values() if thing in answer} == set(WEATHER.values())


def test_examples_are_drawn_topic_by_topic():
    turns = [turn(topic, f"{topic} {n}?", f"{topic} says {n}.") for topic in ("lights", "sums") for n in range(9)]
    assert [question.split()[0] for question, _ in example_turns(turns, 5, seed=1)] == [
        "lights", "sums", "lights", "sums", "lights",
    ]  # fmt: skip
