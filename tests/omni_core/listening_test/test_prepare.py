"""The stored test: its clips are at one loudness, and starting again finds the same test."""

import json

import pytest

from omni_core.audio import decode
from omni_core.listening_test.loudness import loudness_lufs


def test_every_clip_that_is_played_is_at_the_same_loudness(store, make_test):
    test = make_test(attention_checks=2)
    clips = sorted((store.folder(test) / "clips").iterdir())
    assert len(clips) == 2 * 6 + 2 * 2
    loudness = [loudness_lufs(*decode(path)) for path in clips]
    assert loudness == pytest.approx([-23] * len(clips), abs=0.05)


def test_the_same_sides_and_settings_are_the_same_test_and_others_another(make_test):
    assert make_test().digest == make_test().digest
    assert len({make_test().digest, make_test(design="abx").digest, make_test(seed=1).digest}) == 3


def test_checks_are_made_of_both_sides_in_turn(store, make_test):
    test = make_test(attention_checks=2)
    folder = store.folder(test) / "clips"
    listed = json.loads((folder.parent / "test.json").read_text())
    for number, (check, side) in enumerate(zip(listed["checks"], "ab", strict=True)):
        item = next(one["item"] for one in listed["items"] if one["name"] == check["name"])
        clean, drowned = (decode(folder / f"check-{number:02d}-{which}.wav")[0] for which in "ab")
        assert (folder / f"check-{number:02d}-a.wav").read_bytes() == (folder / f"{item}-{side}.wav").read_bytes()
        assert abs(float((clean - drowned).std())) > 0.3 * float(clean.std())
