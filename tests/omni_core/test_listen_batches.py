"""Which turns go together into a batch, and which into the prefix."""

from data_contracts.train import ListenSettings
from omni_core.listen import ListenData, example_turns, turns_by_batch

WEATHER = {"raining": "an umbrella", "hot": "a bottle of water", "icy": "warm gloves"}


def turn(topic: str, question: str, answer: str) -> dict[str, str]:
    return {"topic": topic, "question_text": question, "answer_text": answer}


def test_batches_hold_every_turn_once():
    turns = [turn("lights", f"{n}?", f"{n}.") for n in range(37)]
    batches = turns_by_batch(ListenData(turns, {}), ListenSettings(answer_batch=8))
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 5]
    assert sorted(int(t["answer_text"][:-1]) for batch in batches for t in batch) == list(range(37))
    assert batches == turns_by_batch(ListenData(turns, {}), ListenSettings(answer_batch=8))


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
