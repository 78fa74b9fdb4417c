"""What is said of a component before loading is what the loaded component says; headers tell sizes without weights."""

import math

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from data_contracts.base import choices
from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings
from data_contracts.errors import ComponentError, WeightsError
from omni_core import components
from omni_core.code_prior import project
from omni_core.component_facts import codec_facts, encoder_facts, language_model_facts
from omni_core.model_files import header, model_files
from tests.omni_core.language_models import classes


@pytest.mark.parametrize("name", classes.CLASSES)
def test_a_language_model_is_what_its_files_say(name, tmp_path):
    settings = LanguageModelSettings(weights=str(classes.write(name, tmp_path)))
    facts = language_model_facts(settings, tmp_path)
    lm = components.load("language_models", "huggingface", settings, tmp_path)
    config = lm.model.config
    assert (facts.class_name, facts.width, facts.num_layers) == (
        type(lm.model).__name__,
        lm.width,
        config.num_hidden_layers,
    )
    assert facts.parameters == sum(p.numel() for p in lm.model.parameters())
    assert (facts.vocabulary, facts.context) == (config.vocab_size, config.max_position_embeddings)
    assert facts.window == (classes.WINDOW if name == "gemma3" else 0)


@pytest.mark.parametrize("name", ["qwen2", "qwen2_5", "gemma3", "gpt2"])
def test_the_language_model_inside_a_head_is_what_its_files_say(name, tmp_path):
    from omni_core.mini_omni.starting_point import layout_on, on_language_model
    from omni_core.speech_heads import parallel

    lm = components.load(
        "language_models", "huggingface", LanguageModelSettings(weights=str(classes.write(name, tmp_path))), tmp_path
    )
    head = on_language_model(lm.model, layout_on(lm.model, 3, 10), 8, torch.Generator(), 0, 16)
    parallel.write(tmp_path, head.config, parallel.saved_tensors(head), {})
    settings = LanguageModelSettings(name="mini_omni", weights=str(tmp_path))
    facts, inside = (
        language_model_facts(settings, tmp_path),
        components.load("language_models", "mini_omni", settings, tmp_path),
    )
    assert facts.class_name == type(inside.model).__name__ == type(lm.model).__name__
    config = inside.model.config
    assert (facts.width, facts.num_layers, facts.vocabulary, facts.context) == (
        lm.width, config.num_hidden_layers, config.vocab_size, config.max_position_embeddings)  # fmt: skip
    assert facts.parameters == sum(p.numel() for p in inside.model.parameters())
    ids = torch.tensor([lm.tokens("Five plus four is nine.")])
    known = lm.model.config.vocab_size
    with torch.no_grad():
        torch.testing.assert_close(inside.model(ids).logits[..., :known], lm.model(ids).logits)


def whisper(folder):
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                           encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=100, pad_token_id=1, bos_token_id=1,
                           eos_token_id=2, decoder_start_token_id=1)  # fmt: skip
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return str(folder)


def wav2vec2(folder):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                            conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)  # fmt: skip
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def mimi(folder):
    from transformers import MimiConfig, MimiModel

    MimiModel(MimiConfig(hidden_size=32, num_filters=4, num_hidden_layers=1, num_attention_heads=2, head_dim=16, num_key_value_heads=2,
                         intermediate_size=32, codebook_size=16, codebook_dim=8, vector_quantization_hidden_dimension=8,
                         upsample_groups=32)).save_pretrained(folder)  # fmt: skip
    return str(folder)


ENCODERS = {"log_mel": lambda folder: "", "whisper": whisper, "wav2vec2": wav2vec2, "mimi": mimi}


@pytest.mark.parametrize("name", choices("encoders"))
def test_an_encoder_is_what_its_files_say(name, tmp_path):
    settings = EncoderSettings(name=name, weights=ENCODERS[name](tmp_path))
    facts, loaded = encoder_facts(settings, tmp_path), components.load("encoders", name, settings, tmp_path)
    assert (facts.width, facts.sample_rate_hz) == (loaded.width, loaded.sample_rate_hz)
    assert facts.frame_rate_hz == pytest.approx(loaded.frame_rate_hz)
    assert facts.max_s == getattr(loaded, "max_samples", math.inf) / loaded.sample_rate_hz
    if name == "whisper":
        assert facts.parameters == sum(p.numel() for p in loaded.model.parameters())
        assert facts.num_mels == loaded.model.config.num_mel_bins


@pytest.mark.parametrize("refine_steps", [0, 1])
def test_mel_rvq_is_what_its_settings_say(tmp_path, refine_steps):
    from omni_core.codecs import mel_rvq

    settings = CodecSettings(
        num_codebooks=3, codebook_size=32, patch_frames=4, vocoder="griffin_lim", refine_steps=refine_steps
    )
    facts = codec_facts(settings, tmp_path)
    codec = mel_rvq.fit([torch.randn(30_000) * 0.1], settings, tmp_path)
    assert (facts.sample_rate_hz, facts.num_codebooks, facts.codebook_size) == (
        codec.sample_rate_hz, codec.num_codebooks, codec.codebook_size)  # fmt: skip
    assert facts.frame_rate_hz == pytest.approx(codec.frame_rate_hz)
    assert facts.latent_width == project(codec.code_vectors()).shape[2]
    refiner = codec.refiner.parameters() if codec.refiner else ()
    assert facts.parameters == sum(t.numel() for t in (codec.mean, codec.basis, codec.codebooks, *refiner))


@pytest.mark.parametrize("name", ["Mimi", "Encodec", "Dac"])
def test_rates_of_public_codecs_are_those_of_their_configuration(name, tmp_path):
    import transformers

    config = getattr(transformers, f"{name}Config")()
    config.save_pretrained(tmp_path)
    facts = codec_facts(
        CodecSettings.model_construct(name=name.lower(), weights=str(tmp_path), num_codebooks=4), tmp_path
    )
    rate = config.sampling_rate / config.hop_length if name != "Mimi" else config.frame_rate
    assert facts.frame_rate_hz == pytest.approx(rate) and facts.codebook_size == config.codebook_size
    has = config.n_codebooks if name == "Dac" else config.num_quantizers
    assert facts.num_codebooks == 4 and f"of {has} " in facts.layout
    with pytest.raises(ComponentError, match=rf"num_codebooks is 99; .* has {has}"):
        codec_facts(CodecSettings.model_construct(name=name.lower(), weights=str(tmp_path), num_codebooks=99), tmp_path)


@pytest.mark.parametrize("name", sorted(set(choices("codecs")) - {"mel_rvq"}))
def test_a_codec_with_weights_is_what_its_files_say(name, tmp_path):
    from tests.omni_core.codecs.tiny_codecs import WRITERS

    write = next(write for member, write in WRITERS.values() if member == name)
    settings = CodecSettings(name=name, weights=write(tmp_path), num_codebooks=2)
    facts, codec = codec_facts(settings, tmp_path), components.load("codecs", name, settings, tmp_path, tmp_path)
    assert (facts.sample_rate_hz, facts.num_codebooks, facts.codebook_size) == (
        codec.sample_rate_hz, codec.num_codebooks, codec.codebook_size)  # fmt: skip
    assert facts.frame_rate_hz == pytest.approx(codec.frame_rate_hz)
    assert facts.latent_width == project(codec.code_vectors()).shape[2]


def test_a_codec_that_needs_weights_says_which(tmp_path):
    with pytest.raises(WeightsError, match=r"codec snac has weights; .* as hubertsiuzdak/snac_24khz"):
        codec_facts(CodecSettings.model_construct(name="snac", weights=""), tmp_path)


def test_snacs_three_rates_are_seven_streams(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"sampling_rate": 24000, "encoder_rates": [2, 4, 8, 8], "vq_strides": [4, 2, 1], "codebook_size": 4096, "encoder_dim": 48}'
    )
    facts = codec_facts(CodecSettings.model_construct(name="snac", weights=str(tmp_path)), tmp_path)
    assert facts.num_codebooks == 7 and facts.frame_rate_hz == pytest.approx(24_000 / 2048)
    assert "1 + 2 + 4 codes a frame" in facts.layout


def test_a_header_names_every_tensor_and_reads_no_weight(tmp_path):
    save_file(
        {"a": np.zeros((3, 4), np.float32), "b.c": np.zeros(5, np.float16)},
        tmp_path / "x.safetensors",
        {"format": "pt"},
    )
    assert header(tmp_path / "x.safetensors") == {"a": (3, 4), "b.c": (5,)}
    assert model_files(str(tmp_path), tmp_path).parameters("b.") == 5
    whole = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-30])
    assert header(tmp_path / "cut.safetensors").keys() == {"a", "b.c"}
    (tmp_path / "bad.safetensors").write_bytes(b"PK\x03\x04 not this")
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        header(tmp_path / "bad.safetensors")


def test_a_hub_id_is_read_from_the_hubs_cache(tmp_path, monkeypatch):
    source = classes.write("qwen2", tmp_path / "model")
    kept = tmp_path / "hub" / "models--team--tiny"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("c0ffee")
    (kept / "snapshots").mkdir()
    source.rename(kept / "snapshots" / "c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    facts = language_model_facts(LanguageModelSettings(weights="team/tiny"), tmp_path)
    assert facts.class_name == "Qwen2ForCausalLM" and facts.parameters > 0
    with pytest.raises(WeightsError, match=r"'team/other' has no config\.json"):
        language_model_facts(LanguageModelSettings(weights="team/other"), tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (LanguageModelSettings(weights="{whisper}"), "no causal language model in .* it holds a WhisperModel"),
        (EncoderSettings(weights="{qwen2}"), "no Whisper encoder in .* it holds a qwen2"),
        (
            EncoderSettings(weights=""),
            "encoder whisper has weights; set components.encoder.weights to a folder or a hub id, as openai/whisper-base",
        ),
        (LanguageModelSettings(weights="{empty}"), "has no config.json"),
    ],
)
def test_weights_of_another_kind_are_one_sentence(settings, sentence, tmp_path):
    makers = {
        "whisper": whisper,
        "qwen2": lambda folder: classes.write("qwen2", folder),
        "empty": lambda folder: folder.mkdir(),
    }
    for name, make in makers.items():
        make(tmp_path / name)
    settings = settings.model_copy(update={"weights": settings.weights.format(**{n: tmp_path / n for n in makers})})
    with pytest.raises(WeightsError, match=sentence):
        (encoder_facts if isinstance(settings, EncoderSettings) else language_model_facts)(settings, tmp_path)


def test_mel_bands_that_do_not_meet_are_refused(tmp_path):
    folder = whisper(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"feature_size": 80', '"feature_size": 128'))
    with pytest.raises(WeightsError, match="makes 128 mel bands, its encoder reads 80"):
        encoder_facts(EncoderSettings(weights=folder), tmp_path)
