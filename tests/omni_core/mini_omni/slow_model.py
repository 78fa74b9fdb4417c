"""Mini-Omni written once more, slowly, from its description: released names, no cache, one loop a head and a stream."""

import math

import torch
import torch.nn.functional as F


class SlowModel:
    def __init__(self, config, weights):
        self.c, self.w = config, dict(weights)
        if config["tie_word_embeddings"]:
            self.w["lm_head.weight"] = self.w["transformer.wte.weight"]

    def logits(self, tokens, features=None, heard=0):
        """tokens (8, steps), one row; features (frames, width) in place of the audio at steps 1 .. heard.

        Returns text (steps, text_vocab_size) and audio (7, steps, audio_vocab_size).
        """
        text, audio = self.c["text_vocab_size"], self.c["audio_vocab_size"]
        streams = [self.w["transformer.wte.weight"][row].clone() for row in tokens]
        if features is not None:
            for stream in streams[:7]:
                stream[1 : heard + 1] = self.adapter(features)[:heard]
        x = sum(streams) / 8
        for i in range(self.c["n_layer"]):
            x = self.block(f"transformer.h.{i}", x)
        both = self.norm("transformer.ln_f", x) @ self.w["lm_head.weight"].T
        spoken = both[:, text:]
        if self.c["post_adapter"]:
            for i in range(self.c["post_adapter_layers"]):
                x = self.block(f"transformer.post_adapter.{i}", x)
            x = self.norm("transformer.post_adapter_audio_ln", x)
            spoken = x @ self.w["transformer.post_adapter_audio_lm_head.weight"].T
        return both[:, :text], torch.stack([spoken[:, audio * i : audio * (i + 1)] for i in range(7)])

    def adapter(self, x):
        if self.c["asr_adapter"] == "mlp":
            return x @ self.w["whisper_adapter.weight"].T + self.w["whisper_adapter.bias"]
        return self.gated("whisper_adapter", x)

    def gated(self, name, x):
        gate, up = x @ self.w[f"{name}.fc_1.weight"].T, x @ self.w[f"{name}.fc_2.weight"].T
        return (F.silu(gate) * up) @ self.w[f"{name}.proj.weight"].T

    def norm(self, name, x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.c["norm_eps"]) * self.w[f"{name}.weight"]

    def block(self, name, x):
        x = x + self.attention(f"{name}.attn", self.norm(f"{name}.norm_1", x))
        return x + self.gated(f"{name}.mlp", self.norm(f"{name}.norm_2", x))

    def attention(self, name, x):
        size, groups = self.c["head_size"], self.c["n_query_groups"]
        fused = x @ self.w[f"{name}.attn.weight"].T + self.w.get(f"{name}.attn.bias", 0)
        parts, heads = iter(fused.split(size, dim=-1)), []
        for _ in range(groups):
            queries = [next(parts) for _ in range(self.c["n_head"] // groups)]
            key, value = next(parts), next(parts)
            for query in queries:
                scores = self.turn(query) @ self.turn(key).T / math.sqrt(size)
                scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
                heads.append(scores.softmax(-1) @ value)
        return torch.cat(heads, -1) @ self.w[f"{name}.proj.weight"].T

    def turn(self, x):
        """Rotary position embedding: the two halves of a head are the two axes of the planes that turn."""
        half = x.shape[-1] // 2
        speed = self.c["rope_base"] ** (-torch.arange(half) / half)
        angle = torch.arange(len(x))[:, None] * speed
        a, b = x[:, :half], x[:, half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def slow_answer(model, rows, layout, speaks, features, max_steps):
    """Greedy decoding that reads everything anew at each step. rows: prompts (8, steps), the first speaks, the last writes."""
    said, text_ended, heard = [], False, rows[0].shape[1] - 3
    for step in range(max_steps):
        audio = model.logits(rows[0], features, heard)[1][:, -1].argmax(-1).tolist()
        text = int(model.logits(rows[-1], features, heard)[0][-1].argmax())
        if step > 0:
            if text_ended:
                text = layout.text_pad
            if speaks and audio[6] == layout.end:
                break
            if text == layout.text_end:
                text_ended = True
                if not speaks:
                    break
        said.append([*audio, text] if speaks else [text])
        for number, row in enumerate(rows):
            fed = audio if speaks and number == 0 else [layout.pad] * 7
            column = [layout.text_vocabulary_size + layout.vocabulary_size * i + fed[i] for i in range(7)] + [text]
            rows[number] = torch.cat([row, torch.tensor(column)[:, None]], 1)
    return torch.tensor(said).T
