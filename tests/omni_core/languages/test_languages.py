"""The language pack family's contract, and English."""

import pytest

from data_contracts.base import choices
from omni_core import components
from omni_core.languages import unwritten
from omni_core.speech_text import speech_text

SENTENCE = {"en": "Set a timer for five minutes."}


@pytest.fixture(params=choices("languages"))
def pack_and_text(request):
    assert request.param in SENTENCE, f"add a sentence of the new language {request.param} to this contract test"
    return components.load("languages", request.param), SENTENCE[request.param]


def test_every_phoneme_is_in_the_set_and_every_word_has_some(pack_and_text):
    pack, text = pack_and_text
    words = pack.phonemes(text)
    assert len(words) == len(text.split()) and all(words)
    assert {symbol for word in words for symbol in word} <= set(pack.phoneme_set)


def test_the_phoneme_set_is_sounds_times_stresses(pack_and_text):
    pack, _ = pack_and_text
    assert len(pack.phoneme_set) == len(set(pack.phoneme_set)) == pack.num_bases * pack.num_stresses


def test_words_do_not_care_for_case_and_punctuation(pack_and_text):
    pack, text = pack_and_text
    assert pack.words(text.upper()) == pack.words(text.strip(".?!")) == pack.words(text)
    assert pack.error_unit in ("word", "character")


def test_a_sentence_of_the_language_is_written_in_its_scripts(pack_and_text):
    pack, text = pack_and_text
    assert unwritten(text, pack.scripts) == ""


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("Hello 日本", "日本"), ("Привет", "Привет"), ("Good 😀 day\x00", "😀\x00"), ("٣ lights", "٣"),
     ("Café: it’s 20 °C — “naïve”, €5 or ½…", "")],
)  # fmt: skip
def test_in_english_letters_are_latin_and_pictures_are_not_read(text, wrong):
    assert unwritten(text, components.load("languages", "en").scripts) == wrong


def test_english_numbers_and_digits_are_the_same_words():
    pack = components.load("languages", "en")
    assert pack.words("five minutes") == pack.words("5 minutes")
    assert pack.words("twenty five") == pack.words("25")


def test_english_stress_stays_with_its_sound():
    assert components.load("languages", "en").phonemes("timer")[0][1] == "ˈI"


def test_digits_that_are_read_as_several_words_stay_one_written_word():
    pack = components.load("languages", "en")
    assert len(pack.phonemes("It is 125 degrees")) == 4


def test_speech_text_begins_with_silence_and_ends_with_a_pause():
    pack = components.load("languages", "en")
    spoken = speech_text("five minutes", pack)
    symbols = [pack.phoneme_set[i] for i in spoken.phonemes]
    assert symbols[0] == "^" and symbols[-1] == "."
    assert spoken.words.tolist() == sorted(spoken.words.tolist()) and spoken.words.max() == 1
