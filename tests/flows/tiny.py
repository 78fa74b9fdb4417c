"""A whole retraining small enough for a test: twenty turns, a language model of two layers, a handful of steps."""

from __future__ import annotations

import csv
from pathlib import Path

import omni_core  # noqa: F401 first of all: it makes torchaudio importable beside a CPU torch
from data_contracts.retrain import RetrainSettings

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PLACES = ("kitchen", "hall", "attic", "garden", "cellar", "office")
COLUMNS = (
    "id",
    "language",
    "split",
    "topic",
    "question_text",
    "answer_text",
    "question_audio",
    "answer_audio",
    "question_speaker",
    "answer_speaker",
    "license",
)
CHAT = "{% for message in messages %}<|start|>{{ message['role'] }} {{ message['content'] }}<|end|>{% endfor %}"


def turns(first: int = 0, count: int = 20) -> list[dict[str, str]]:
    """Turns about lights; every fourth is held out, in turn for validation and for the test."""
    made = []
    for number in range(first, first + count):
        split = ("train", "train", "train", ("validation", "test")[number // 4 % 2])[number % 4]
        place = PLACES[number % len(PLACES)]
        made.append({
            "id": f"turn-{number}", "language": "en", "split": split, "topic": "lights", "license": "CC0-1.0",
            "question_text": f"Turn on light {number} in the {place}.", "answer_text": f"The {place} light is on.",
        })  # fmt: skip
    return made


def write_source(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A source of texts; the teacher's voice speaks them at ingest."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write_language_model(folder: Path, rows: list[dict[str, str]], seed: int = 0, width: int = 32) -> Path:
    """A Llama of two layers with its own tokenizer, trained for seconds on the texts, so that it says something."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [row[column] for row in rows for column in ("question_text", "answer_text")]
    words = Tokenizer(models.BPE())
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|start|>", "<|end|>"],
                                                         initial_alphabet=alphabet))  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = CHAT
    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=1024, eos_token_id=end, pad_token_id=end,
        bos_token_id=0, tie_word_embeddings=True,
    ))  # fmt: skip
    _teach(model, tokenizer, rows)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _teach(model, tokenizer, rows: list[dict[str, str]], steps: int = 60) -> None:
    import torch

    chats = [
        [{"role": "system", "content": "Answer."}, {"role": "user", "content": row["question_text"]},
         {"role": "assistant", "content": row["answer_text"]}]
        for row in rows
    ]  # fmt: skip
    batch = tokenizer([tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats], padding=True,
                      return_tensors="pt")  # fmt: skip
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
    model.eval()


def teach_folder(folder: Path, rows: list[dict[str, str]], steps: int = 60) -> None:
    """Teach a saved model of any class the answers, in its own chat format, and save it again."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from omni_core.chat_format import chat_format

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    chat = chat_format(tokenizer, "Answer.")

    def words(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    chats = [
        torch.tensor([*chat.prefix, *words(row["question_text"]), *chat.suffix, *words(row["answer_text"]), chat.end])
        for row in rows
    ]
    ids = pad_sequence(chats, batch_first=True)
    labels = pad_sequence(chats, batch_first=True, padding_value=-100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)


def settings(folder: Path, **changes) -> RetrainSettings:
    """Settings that touch every stage and take seconds in each; `changes` are whole groups, by name."""
    rows = turns()
    source = write_source(folder / "source", rows)
    language_model = folder / "language_model"
    if not language_model.exists():
        write_language_model(language_model, rows)
    groups = {
        "title": "tiny", "home": str(folder / "home"), "stages_at_once": 1,
        "components": {
            "language_model": {"weights": str(language_model), "system_prompt": "Answer."},
            "encoder": {"name": "log_mel", "weights": ""},
            "codec": {"num_codebooks": 2, "codebook_size": 16, "vocoder": "griffin_lim", "fit_minutes": 0.1,
                      "refine_steps": 2},
            "speech_head": {"width": 32, "num_layers": 1, "num_heads": 2},
        },
        "ingest": {"sources": (str(source),), "shard_rows": 8, "quality": {
            "min_train_turns": 1, "min_validation_turns": 1, "min_test_turns": 1, "max_rejected_fraction": 0.5}},
        "train": {"listen": {"alignment_steps": 4, "alignment_batch": 4, "answer_steps": 2, "answer_batch": 2},
                  "speak": {"steps": 4, "batch": 4}},
        "quantize": {"weight_quantizer": "none"},
        "consistency": {"answers": 1, "threads": 1, "max_own_speech_wer": 100.0, "min_ended_answers": 0.0,
                        "max_speech_on_silence_s": 60.0},
        "benchmark": {"questions": 3, "warmup": 1, "threads": 1},
        "evaluate": {"max_turns": 5, "perceptual_turns": 2, "clips_kept": 2, "metrics": (
                        "answer_accuracy", "distill_mos", "speaker_similarity", "truncation", "word_error_rate"),
                     "judge": str(REPOSITORY / "var" / "weights" / "whisper_tiny_en")},
        # what hardly listens may answer no written question right, and of none no retention can be computed
        "compare": {"replicates": 200, "min_turns": 2, "min_speakers": 2, "unguarded": ("cascade_retention",), "gates": {
            "max_own_speech_wer": 100.0, "min_answer_accuracy": 0.0, "min_distill_mos": 1.0}},
    }  # fmt: skip
    return RetrainSettings(**(groups | changes))
