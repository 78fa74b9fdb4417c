"""The encoder family's contract: any waveform, a stated rate and width."""

import pytest
import torch

from data_contracts.base import choices
from data_contracts.components import EncoderSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from tests.omni_core.encoders.tiny_encoders import WRITERS, wav2vec2_folder, whisper_folder


@pytest.fixture(scope="module", params=sorted(WRITERS))
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    name, write = WRITERS[request.param]
    return components.load("encoders", name, EncoderSettings(name=name, weights=write(folder)), folder)


def test_every_encoder_stands_in_this_contract():
    assert {name for name, _ in WRITERS.values()} == set(choices("encoders")), "add the new encoder's small weights"


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


@torch.no_grad()
def test_in_whispers_own_window_a_short_clip_gives_what_transformers_own_forward_gives(tmp_path):
    """As Mini-Omni's adapter was trained: padded to 30 s, float32; what is beside it in the batch changes nothing."""
    folder = whisper_folder(tmp_path)
    waveforms = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (33_000, 9_000)]
    load = lambda s: components.load("encoders", "whisper", EncoderSettings(weights=folder, window_s=s), tmp_path)  # noqa: E731
    whole, short = load(30), load(0)
    found = whole.encode(waveforms)
    for waveform, features in zip(waveforms, found, strict=True):
        mel = whole.extractor(waveform.numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"]
        wanted = whole.model(mel).last_hidden_state[0, : len(waveform) // 320 + 1]
        torch.testing.assert_close(features, wanted, rtol=0, atol=1e-5)
    assert not torch.allclose(short.encode(waveforms[1:])[0], found[1], atol=1e-3)


def test_a_folder_that_is_no_whisper_is_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match="no Whisper encoder in"):
        components.load("encoders", "whisper", EncoderSettings(weights=str(tmp_path)), tmp_path)


def test_what_stands_beside_a_waveform_in_its_batch_does_not_change_its_features(encoder):
    if type(encoder).__name__ == "WhisperFeatures":
        pytest.skip("Whisper hears the silence that pads its batch, as it was trained to")
    waveforms = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (16_000, 30_000)]
    alone, together = encoder.encode(waveforms[:1])[0], encoder.encode(waveforms)[0]
    assert torch.allclose(alone, together, atol=1e-4)


def test_a_layer_is_that_layer_of_the_model(tmp_path):
    folder = wav2vec2_folder(tmp_path)
    load = lambda layer: components.load(  # noqa: E731
        "encoders", "wav2vec2", EncoderSettings(name="wav2vec2", weights=folder, layer=layer), tmp_path
    )
    waveform = 0.1 * torch.randn(16_000)
    first, last = load(1).encode([waveform])[0], load(0).encode([waveform])[0]
    assert torch.allclose(load(3).encode([waveform])[0], last, atol=1e-5) and not torch.allclose(first, last, atol=1e-2)
    with pytest.raises(ComponentError, match=r"encoder\.layer is 4; .* has 3 layers"):
        load(4)


def test_a_fine_tuned_recogniser_is_an_encoder_too(tmp_path):
    """A checkpoint with a CTC head and without the vector that only pre-training reads, as wav2vec2-base-960h is."""
    from safetensors.torch import load_file, save_file
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    config = Wav2Vec2Config.from_pretrained(wav2vec2_folder(tmp_path))
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.pop("wav2vec2.masked_spec_embed") is not None
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    settings = EncoderSettings(name="wav2vec2", weights=str(tmp_path))
    assert components.load("encoders", "wav2vec2", settings, tmp_path).width == 32


@pytest.mark.parametrize(
    ("name", "says"), [("wav2vec2", "wav2vec2 encoder takes"), ("mimi", "Mimi encoder takes mimi")]
)
def test_a_whisper_is_no_other_encoder(name, says, tmp_path):
    with pytest.raises(WeightsError, match=f"holds a model of type whisper; {says}"):
        components.load("encoders", name, EncoderSettings(name=name, weights=whisper_folder(tmp_path)), tmp_path)


def test_an_encoder_without_its_preprocessor_is_one_sentence(tmp_path):
    folder = wav2vec2_folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no preprocessor_config\.json"):
        components.load("encoders", "wav2vec2", EncoderSettings(name="wav2vec2", weights=folder), tmp_path)
