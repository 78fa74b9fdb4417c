"""Word lists and carriers enter; sentences that the assistant's voice reads aloud for practice leave: `practice/metadata.csv`.

A speech head that hears answers only learns them by heart. Practice has to bring every sound in many neighbourhoods, and
every name in more than one sentence, at no cost but the teacher voice's time. Two kinds, one to two:

    nonsense   grammar without meaning, as in intelligibility tests (semantically unpredictable sentences, Benoit et al.
               1996): any word may stand beside any other, so that nothing can be guessed from the sentence
    names      the domain's own names (places, rooms, numbers) in carriers that no answer uses

Each word of each list is used about equally often. The same seed gives the same bytes.

    python make_practice.py         # writes next to this file
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from make_texts import (
    CAPITALS,
    CITIES,
    COLOURS,
    NUMBERS,
    ROOMS,
    TIMER_ITEMS,
    TIMER_VALUES,
    WEATHER,
    WEATHER_FACTS,
    capitalised,
    names,
    write,
)

COLUMNS = ["id", "language", "split", "text", "audio", "speaker", "license"]
SEED = 1996
SENTENCES = 2000

NOUNS = names(
    "apple bridge camel dragon engine feather giant hammer island jacket kettle lemon mirror needle orange pocket queen "
    "river shoulder tiger uncle violin window yacht zebra branch church cloud desk east fire ghost hedge ink judge king "
    "leaf mouth north oil path quilt roof sheep thumb urn vase wharf youth beach chalk dish earth flute goose harp judge "
    "knife lounge month nurse oyster paper question rabbit square teacher umbrella village whistle cushion measure "
    "treasure garage vision method feather weather leather voyage courage village bandage sausage mountain fountain "
    "captain curtain certain cousin raisin poison lesson garden wagon dragon melon salmon ribbon button cotton mutton "
    "doctor sailor tailor actor motor butcher baker singer farmer ladder spider soldier elbow yellow pillow window shadow"
)
ADJECTIVES = names(
    "able big cheap deep early fresh great huge idle jolly keen loud mild new odd proud quick rough short thick ugly vast "
    "warm young zealous brown cheerful dusty empty famous gentle heavy icy joyful kind little modern narrow open patient "
    "quiet royal shiny tiny useful violet wooden yellow broken careful dangerous enormous foolish generous honest"
)
VERBS = names(
    "asked bought called drew enjoyed found gave held invited joined knew loved met noticed owned painted questioned reached "
    "saw took used visited watched yelled chose brushed crushed finished washed judged managed measured changed "
    "touched caught taught followed carried worried heard feared shared wore offered covered"
)
ADVERBS = names("again before today early later slowly badly often never always almost nearly maybe outside together")
PLACES = [*CAPITALS, *CAPITALS.values(), *CITIES]


class Deck:
    """Deals every card once before any card twice, so that rare sounds are as frequent as common ones."""

    def __init__(self, cards: Sequence[str], rng: random.Random):
        self._cards, self._rng, self._left = sorted(set(cards)), rng, []

    def deal(self) -> str:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


NONSENSE = (
    "The {adjective} {noun} {verb} the {noun}.",
    "The {noun} {verb} {place} {adverb}.",
    "{number} {adjective} things {verb} the {noun}.",
    "A {noun} in {place} {verb} a {adjective} {noun}.",
    "Why has the {noun} {verb} the {adjective} {noun}?",
    "My {noun} {verb} your {noun} {adverb}.",
)
NAMES = (
    "{place} and {place} are far from {place}.",
    "From {place} we went to {place}.",
    "She lives in {place}, not in {place}.",
    "In {place} the {noun} is {colour}.",
    "{number} people left {place} for {place}.",
    "The {room} is {colour}, the {room} is {number}.",
    "I need {item} and {thing} in the {room}.",
    "{number}, {number}, {number} and {number}.",
    "Is {weather} the same as {weather}?",
    "Bring {thing} to {place} {adverb}.",
    "His cousin has moved to {place}.",
    "The map shows {place}, {place} and {place}.",
    "{place} is older than {place}.",
)


def decks(rng: random.Random) -> dict[str, Deck]:
    """A deck a slot name."""
    cards = {
        "noun": NOUNS,
        "adjective": ADJECTIVES,
        "verb": VERBS,
        "adverb": ADVERBS,
        "place": PLACES,
        "room": ROOMS,
        "colour": [*COLOURS, "brighter", "dimmer", "on", "off"],
        "number": [*NUMBERS, *TIMER_VALUES, "sixty", "eighty"],
        "item": TIMER_ITEMS,
        "thing": list(WEATHER.values()),
        "weather": list(WEATHER_FACTS),
    }
    return {slot: Deck(words, rng) for slot, words in cards.items()}


def fill(carrier: str, slots: dict[str, Deck]) -> str:
    """Deal a word into every slot of a carrier."""
    while "{" in carrier:
        slot = carrier[carrier.index("{") + 1 : carrier.index("}")]
        carrier = carrier.replace("{" + slot + "}", slots[slot].deal(), 1)
    return capitalised(carrier)


def sentences(seed: int = SEED, count: int = SENTENCES) -> Iterator[str]:
    """Names twice as often as nonsense: a name that is met once or twice is mispronounced."""
    slots = decks(random.Random(seed))
    kinds = (cycle(NAMES), cycle(NAMES), cycle(NONSENSE))
    for n in range(count):
        yield fill(next(kinds[n % 3]), slots)


def practice(seed: int = SEED) -> list[dict[str, str]]:
    """All rows, in file order; audio and speaker columns are empty."""
    return [
        {"id": f"say-{n:04d}", "language": "en", "split": "train", "text": text, "license": "Apache-2.0"}
        for n, text in enumerate(sentences(seed), start=1)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the quickstart's practice sentences.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write into")
    parser.add_argument("--seed", type=int, default=SEED, help="which words meet")
    settings = parser.parse_args()
    write(settings.out / "practice" / "metadata.csv", practice(settings.seed), COLUMNS)


if __name__ == "__main__":
    main()
