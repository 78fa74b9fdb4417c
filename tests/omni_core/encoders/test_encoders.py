"""The encoder family's contract: any waveform, a stated rate and width."""

import pytest
import torch

from data_contracts.base import choices
from data_contracts.components import EncoderSettings
from data_contracts.errors import WeightsError
from omni_core import components


def whisper_folder(folder):
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                           encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=100, pad_token_id=1, bos_token_id=1,
                           eos_token_id=2, decoder_start_token_id=1)  # fmt: skip
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return str(folder)


WEIGHTS = {"whisper": whisper_folder, "log_mel": lambda folder: ""}


@pytest.fixture(scope="module", params=choices("encoders"))
def encoder(request, tmp_path_factory):
    assert request.param in WEIGHTS, f"add weights for the new encoder {request.param} to this contract test"
    folder = tmp_path_factory.mktemp("encoder")
    settings = EncoderSettings(name=request.param, weights=WEIGHTS[request.param](folder))
    return components.load("encoders", request.param, settings, folder)


def test_frames_come_at_the_stated_rate_and_width(encoder):
    waveforms = [0.1 * torch.randn(int(s * encoder.sample_rate_hz)) for s in (0.3, 1.0, 2.5)]
    for waveform, features in zip(waveforms, encoder.encode(waveforms), strict=True):
        frames = len(waveform) / encoder.sample_rate_hz * encoder.frame_rate_hz
        assert abs(len(features) - frames) <= 1.5 and features.shape[1] == encoder.width
        assert torch.isfinite(features).all() and features.dtype == torch.float32


def test_the_same_waveform_gives_the_same_features(encoder):
    waveform = 0.1 * torch.randn(encoder.sample_rate_hz, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder.encode([waveform])[0], encoder.encode([waveform])[0])


@torch.no_grad()
def test_thirty_seconds_give_what_transformers_own_forward_gives(tmp_path):
    """At the length that Whisper demands, our forward is theirs; shorter windows are the same function on less."""
    settings = EncoderSettings(weights=whisper_folder(tmp_path))
    ours = components.load("encoders", "whisper", settings, tmp_path)
    waveform = 0.1 * torch.randn(30 * 16_000, generator=torch.Generator().manual_seed(0))
    mel = ours.extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"]
    assert torch.allclose(ours._layers(mel), ours.model(mel).last_hidden_state, atol=1e-5)


def test_a_folder_that_is_no_whisper_is_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no Whisper encoder in"):
        components.load("encoders", "whisper", EncoderSettings(weights=str(tmp_path)), tmp_path)
