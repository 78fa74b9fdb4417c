"""Tiny language models of the real classes, saved as their makers save them: own tokenizer, own template or none."""

from __future__ import annotations

from pathlib import Path

import omni_core  # noqa: F401 first of all: it makes torchaudio importable beside a CPU torch

TEXTS = (
    "Turn on light 1 in the hall.", "The hall light is on.", "What is five plus four?", "Five plus four is nine.",
    "Set a timer for ten minutes.", "Your timer is set for ten minutes.", "Answer in one short sentence.", "Yes. No.",
)  # fmt: skip
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + message['content'] | trim"
    " + '<end_of_turn>\n' }}{% endfor %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + ' ' + eos_token }}"
    "{% else %}{{ (bos_token if loop.first else '') + '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)
QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "intermediate_size": 96, "max_position_embeddings": 512, "initializer_range": 0.1}  # fmt: skip
WINDOW = 8
"""Positions that Gemma's sliding layers see: far fewer than a prefix has."""

CLASSES = {
    "llama": ("LlamaForCausalLM", {**SHAPE, "tie_word_embeddings": False}, "sentencepiece", LLAMA2),
    "smollm2": ("LlamaForCausalLM", {**SHAPE, "tie_word_embeddings": True, "rope_theta": 1e5}, "bytes", CHATML),
    "qwen2": ("Qwen2ForCausalLM", {**SHAPE, "tie_word_embeddings": False}, "qwen", CHATML),
    "qwen2_5": ("Qwen2ForCausalLM", {**SHAPE, "tie_word_embeddings": True, "rope_theta": 1e6}, "qwen", CHATML),
    "qwen3": ("Qwen3ForCausalLM", {**SHAPE, "head_dim": 48, "tie_word_embeddings": True}, "qwen", CHATML),
    "gemma3": ("Gemma3ForCausalLM", {**SHAPE, "head_dim": 32, "sliding_window": WINDOW, "query_pre_attn_scalar": 32,
               "layer_types": ["sliding_attention", "full_attention"]}, "sentencepiece", GEMMA),
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 512, "initializer_range": 0.1},
             "gpt2", None),
    "phi": ("PhiForCausalLM", {**SHAPE, "num_key_value_heads": 2}, "gpt2", None),
}  # fmt: skip
"""Name -> (class, its configuration, its tokenizer, its chat template)."""


def tokenizer(kind: str, template: str | None):
    """A fast tokenizer of one of the common makes, trained on TEXTS: no pad token in any."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = {
        "bytes": {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]},
        "sentencepiece": {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>",
                          "additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]},
        "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    }["bytes" if kind == "qwen" else kind]  # fmt: skip
    names = list(dict.fromkeys([v for v in specials.values() if isinstance(v, str)] + specials.get("additional_special_tokens", [])))  # fmt: skip
    if kind == "sentencepiece":
        words = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        words.normalizer = normalizers.Replace(" ", "▁")
        words.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        names += [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=names)
    else:
        words = Tokenizer(models.BPE())
        words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        if kind == "qwen":  # transformers 5 gives every Qwen2 tokenizer these rules, whatever its file says
            pieces = pre_tokenizers.Split(Regex(QWEN_PIECES), "isolated")
            bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            words.normalizer, words.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Sequence([pieces, bytes_])
        trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    words.train_from_iterator(TEXTS, trainer)
    if kind == "sentencepiece":
        from tokenizers import processors

        words.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", words.token_to_id("<bos>"))])  # fmt: skip
    made = PreTrainedTokenizerFast(tokenizer_object=words, **specials)
    made.chat_template = template
    return made


def write(name: str, folder: Path, seed: int = 0) -> Path:
    """Make the class at random and save it with its tokenizer, as save_pretrained does."""
    import torch
    import transformers

    class_name, shape, kind, template = CLASSES[name]
    words = tokenizer(kind, template)
    model_class = getattr(transformers, class_name)
    end = words.convert_tokens_to_ids("<end_of_turn>") if name == "gemma3" else words.eos_token_id
    torch.manual_seed(seed)
    config = model_class.config_class(vocab_size=384, bos_token_id=words.bos_token_id, eos_token_id=end, pad_token_id=None, **shape)  # fmt: skip
    model_class(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
