"""Against what Mini-Omni's own code computed (tests/golden/README.md)."""

import numpy as np
import pytest
import torch

from omni_core.mini_omni import prompts
from omni_core.mini_omni.decoding import answer, frames
from omni_core.mini_omni.prompts import Mode
from omni_core.token_layout import MINI_OMNI, split_rates

MODES = {  # mode -> name of its prompt and of its answer in the golden file
    Mode.AUDIO_TO_AUDIO: ("ids_audio", "generated_AA"),
    Mode.AUDIO_TO_TEXT: ("ids_at", "generated_AT"),
    Mode.RECOGNITION: ("ids_asr", "generated_ASR"),
    Mode.TEXT_TO_AUDIO: ("ids_ta", "generated_TA"),
    Mode.TEXT_TO_TEXT: ("ids_tt", "generated_TT"),
    Mode.AUDIO_TO_AUDIO_PARALLEL: ("ids_batch", "generated_AA_BATCH"),
}


def prompt_of(mode):
    return prompts.heard(mode, MINI_OMNI, 31) if mode.hears else prompts.written(mode, MINI_OMNI, [5, 6, 7, 8, 9])


def test_every_mode_has_a_golden_answer():
    assert set(MODES) == set(Mode)


@pytest.mark.parametrize("mode", Mode)
def test_prompts_are_the_golden_ones(mode, golden):
    assert np.array_equal(prompt_of(mode).tokens.transpose(0, 1).numpy(), golden[MODES[mode][0]])


@pytest.mark.parametrize("mode", Mode)
def test_answers_are_the_golden_ones(mode, golden, golden_head):
    features = torch.tensor(golden["audio_feature"]) if mode.hears else None
    found = answer(golden_head, prompt_of(mode), features, max_steps=40)
    assert np.array_equal(found.numpy(), golden[MODES[mode][1]])


@pytest.mark.parametrize("mode", [Mode.AUDIO_TO_AUDIO, Mode.TEXT_TO_AUDIO])
@torch.no_grad()
def test_logits_are_the_golden_ones_to_1e_4(mode, golden, golden_head):
    features = torch.tensor(golden["audio_feature"]) if mode.hears else None
    logits = golden_head(prompt_of(mode).tokens, features)
    name = "prefill_last" if mode.hears else "text_in_last"
    np.testing.assert_allclose(logits.text[0, -1], golden[f"{name}_text_logits"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(logits.audio[0, :, -1], golden[f"{name}_audio_logits"], rtol=0, atol=1e-4)
    if mode.hears:
        means = logits.text.double().mean(-1)[0], logits.audio.double().mean(-1)[0]
        np.testing.assert_allclose(means[0], golden["text_logits_pos_mean"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(means[1], golden["audio_logits_pos_mean"], rtol=0, atol=1e-6)


def test_delayed_streams_are_the_golden_codebooks(golden):
    streams = torch.tensor(golden["interleave_in"])
    for codes in (MINI_OMNI.undelay(streams[None]), torch.stack(list(frames(streams.T, MINI_OMNI)), 1)[None]):
        for level, codebook in enumerate(split_rates(codes)):
            assert np.array_equal(codebook, golden[f"interleave_codebook_{level}"])
