"""An encoder's name enters, a folder with its real class at a size of kilobytes leaves, written as its users find it on the hub."""

from __future__ import annotations

import torch

from tests.omni_core.codecs.tiny_codecs import write_mimi


def whisper_folder(folder):
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    torch.manual_seed(0)
    config = WhisperConfig(d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                           encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=100, pad_token_id=1, bos_token_id=1,
                           eos_token_id=2, decoder_start_token_id=1)  # fmt: skip
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return str(folder)


def wav2vec2_folder(folder, kind="Wav2Vec2", normalise="group", **changes):
    """Both shapes of the public models: base (norm over time) and large (norm over channels)."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, conv_dim=[8] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm=normalise,
        do_stable_layer_norm=normalise == "layer", **changes)  # fmt: skip
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=kind != "WavLM").save_pretrained(folder)
    return str(folder)


WRITERS = {
    "whisper": ("whisper", whisper_folder),
    "log_mel": ("log_mel", lambda folder: ""),
    "wav2vec2": ("wav2vec2", wav2vec2_folder),
    "wav2vec2 large": ("wav2vec2", lambda folder: wav2vec2_folder(folder, normalise="layer")),
    "hubert": ("wav2vec2", lambda folder: wav2vec2_folder(folder, "Hubert")),
    "wavlm": ("wav2vec2", lambda folder: wav2vec2_folder(folder, "WavLM")),
    "mimi": ("mimi", write_mimi),
}
"""Variant -> (member of omni_core/encoders, function that writes its folder)."""
