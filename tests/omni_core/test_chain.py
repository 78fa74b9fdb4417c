"""A model whose parts fit passes; every joint that is broken on purpose is named."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_contracts.errors import ComponentError
from omni_core import chain
from tests.omni_core.tiny_model import write_model

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, speech):
    return write_model(tmp_path_factory.mktemp("model"), speech, RATE_HZ)


@pytest.fixture
def model(folder):
    from omni_core.speech_to_speech import SpeechToSpeech

    return SpeechToSpeech.load(folder, 1)


def altered(part, **changes):
    """A part that states something else and works as before."""
    return SimpleNamespace(**{name: getattr(part, name) for name in dir(part) if not name.startswith("__")} | changes)


def test_a_model_whose_parts_fit_passes_every_check(model, speech):
    checks = [
        chain.check_joints(model), chain.check_end(model), chain.check_features(model, speech, RATE_HZ),
        chain.check_codes(model, speech, RATE_HZ), chain.check_context(model, speech, RATE_HZ)[0],
    ]  # fmt: skip
    assert all(check.passed for check in checks)
    assert checks[-1].has_to_be == "at most 1024"


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("encoder", {"frame_rate_hz": 50.0}, "the encoder gives 50 frames a second and the adapter takes 100"),
        ("encoder", {"width": 384}, "the encoder gives 384 values a frame and the adapter takes 80"),
        ("codec", {"num_codebooks": 8}, "the talker gives 2 codes a frame and the codec takes 8"),
        ("codec", {"codebook_size": 1024}, "the talker gives 16 values a code and the codec takes 1024"),
        (
            "codec",
            {"frame_rate_hz": 75.0, "samples_per_frame": 294},
            "gives 12.3047 frames a second and the codec takes 75",
        ),
        (
            "codec",
            {"sample_rate_hz": 24_000},
            "the codec's frames gives 22050 samples a second and its waveform takes 24000",
        ),
    ],
)
def test_a_rate_or_width_that_differs_is_named_with_both_sides(model, part, changes, sentence):
    setattr(model, part, altered(getattr(model, part), **changes))
    with pytest.raises(ComponentError, match=sentence):
        chain.check_joints(model)


def test_a_talker_of_another_language_model_is_named(model):
    model.speaker.talker.config = replace(model.speaker.talker.config, state_width=576)
    with pytest.raises(ComponentError, match="the language model gives 32 values a position and the talker takes 576"):
        chain.check_joints(model)


def test_an_end_token_that_the_language_model_does_not_have_is_named(model):
    model.speaker.end = 49_152
    with pytest.raises(ComponentError, match="answers end with token 49152, and the language model has"):
        chain.check_end(model)


def test_an_encoder_that_keeps_another_rate_than_it_states_is_found_out(model, speech):
    encode = model.encoder.encode
    model.encoder.encode = lambda waveforms: [features[::2] for features in encode(waveforms)]
    with pytest.raises(ComponentError, match=r"the encoder gives .* and states 100 frames of 80 a second"):
        chain.check_features(model, speech, RATE_HZ)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (lambda c: {"encode": lambda w: c.encode(w)[:, :, ::2]}, "frames of 2 codes where it states"),
        (lambda c: {"encode": lambda w: c.encode(w) + 10}, "and states 16, counted from 0"),
        (lambda c: {"decode": lambda codes: c.decode(codes)[:, 1:]}, "samples where it states 1792 a frame"),
        (
            lambda c: {"decode": lambda codes: c.decode(codes) * torch.nan},
            "samples that are not numbers or past full scale",
        ),
        (
            lambda c: {"decode": lambda codes: 0 * c.decode(codes) + 9},
            "samples that are not numbers or past full scale",
        ),
    ],
)
def test_a_codec_that_breaks_its_word_is_found_out(model, speech, changes, sentence):
    model.codec = altered(model.codec, **changes(model.codec))
    with pytest.raises(ComponentError, match=sentence):
        chain.check_codes(model, speech, RATE_HZ)


def test_a_long_question_that_overflows_the_context_is_refused(model, speech):
    _, positions = chain.check_context(model, np.tile(speech, 3), RATE_HZ)
    model.speaker.context = positions - 1
    with pytest.raises(
        ComponentError, match=f"takes {positions} positions with its answer and the language model reads"
    ):
        chain.check_context(model, np.tile(speech, 3), RATE_HZ)
