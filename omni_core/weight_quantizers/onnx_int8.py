"""onnx_int8: the language model as an ONNX graph with int8 weights, run by onnxruntime; the fastest on a CPU.

The graph is made by onnxruntime-genai's model builder (blocks of 32 weights share a scale, activations in int8), with
embeddings as input and hidden states as output. Eight times torch float32 on two cores, cosine 0.999 (shared
measurements on a Qwen2-0.5B shape). Classes the builder does not know are refused: use dynamic_int8 for them.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts.errors import ComponentError

if TYPE_CHECKING:
    from omni_core.language_models.huggingface import CausalLanguageModel

OPTIONS = (
    "exclude_embeds=true",
    "include_hidden_states=true",
    "windowed_kv_cache=false",  # the prefix is there for every layer; the window is cut by the attention kernel
)
BUILD = "import sys; from omni_core.weight_quantizers.onnx_int8 import build; build(*sys.argv[1:])"


def can_build(class_name: str) -> bool:
    """True when the installed builder knows this class of transformers; nothing is imported, its source is searched."""
    spec = find_spec("onnxruntime_genai")
    assert spec is not None and spec.submodule_search_locations, "onnxruntime-genai is a locked dependency"
    return f'"{class_name}"' in (Path(spec.submodule_search_locations[0]) / "models" / "builder.py").read_text()


def refuse_what_cannot_be_built(class_name: str, config: dict[str, Any]) -> None:
    """Raises ComponentError with the mend for a class, or a kind of rotary positions, that the builder cannot write."""
    mend = "set quantize.weight_quantizer to dynamic_int8"
    if not can_build(class_name):
        raise ComponentError(f"onnxruntime's model builder cannot convert {class_name}; {mend}")
    text = config.get("text_config") or config
    of_all = (text.get("rope_parameters") or {}).get("full_attention") or text.get("rope_scaling") or {}
    if class_name.startswith("Gemma3") and of_all.get("rope_type", "default") != "default":
        raise ComponentError(
            f"onnxruntime's model builder would scale the positions of all of {class_name}'s layers, where only the global ones are scaled; {mend}"
        )


def build(source: str, target: str, cache: str) -> None:
    """Child process: a folder of save_pretrained -> <target>/model.onnx. omni_core's own import came first: it makes
    `import torchaudio`, which transformers does, safe beside a CPU torch."""
    from onnxruntime_genai.models import builder

    options = builder.parse_extra_options(source, "", target, "int8", "cpu", cache, list(OPTIONS))
    _flatten_rope(options["hf_details"]["hf_config"].get_text_config())
    builder.create_model(source, "", target, "int8", "cpu", cache, **options)


def _flatten_rope(config: Any) -> None:
    """Gemma 3's rotary settings by layer type, as transformers 5 writes them -> the two values that the builder reads.

    The builder (onnxruntime-genai 0.18) knows transformers 4's names only; this can go when it reads both. A global
    scaling (Gemma 3 4B and larger) it would apply to the local layers too, so that is left as it is, and refused there.
    """
    kinds = getattr(config, "rope_parameters", None) or {}
    if "full_attention" in kinds and kinds["full_attention"]["rope_type"] == "default":
        config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]
        config.rope_theta = kinds["full_attention"]["rope_theta"]
        config.rope_parameters = dict(kinds["full_attention"])


class OnnxLanguageModel:
    """An onnxruntime session and its keys and values."""

    def __init__(self, path: Path, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch shares these cores
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        layers = sum(i.name.startswith("past_key_values") for i in self.session.get_inputs()) // 2
        places = [
            f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")
        ]  # the graph lists keys first
        self.past_names = [f"past_key_values.{place}" for place in places]
        self.present_names = [f"present.{place}" for place in places]
        self.position_input = any(i.name == "position_ids" for i in self.session.get_inputs())

    def start(self, keys_values: np.ndarray, rows: int = 1) -> None:
        self.position = keys_values.shape[3]
        layers, _, heads, positions, width = keys_values.shape
        flat = keys_values.reshape(2 * layers, 1, heads, positions, width).astype(np.float32).repeat(rows, 1)
        self.past = {name: np.ascontiguousarray(value) for name, value in zip(self.past_names, flat, strict=True)}

    def step(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, hidden = self.step_rows(embeddings[None])
        return logits[0], hidden[0]

    def step_rows(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, positions, _ = embeddings.shape
        end = self.position + positions
        feed = {
            "inputs_embeds": embeddings.astype(np.float32),
            "attention_mask": np.ones((rows, end), np.int64),
            **self.past,
        }
        if self.position_input:
            feed["position_ids"] = np.arange(self.position, end, dtype=np.int64)[None].repeat(rows, 0)
        logits, hidden, *present = self.session.run(["logits", "hidden_states", *self.present_names], feed)
        self.past, self.position = dict(zip(self.past_names, present, strict=True)), end
        return logits[:, -1], hidden


def quantize(lm: CausalLanguageModel, folder: Path) -> None:
    """Build the graph in a process of its own (the builder leaves a gigabyte behind)."""
    refuse_what_cannot_be_built(type(lm.model).__name__, lm.model.config.to_dict())
    source = folder / "source"
    lm.model.save_pretrained(source)
    lm.tokenizer.save_pretrained(source)
    done = subprocess.run([sys.executable, "-c", BUILD, str(source), str(folder), str(folder / "cache")],
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode or not (folder / "model.onnx").exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ComponentError(
            f"onnxruntime's model builder cannot convert {type(lm.model).__name__}: {last}; set quantize.weight_quantizer to dynamic_int8"
        )
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.parent != folder or not path.name.startswith("model.onnx"):
            path.unlink()


def load(folder: Path, threads: int) -> OnnxLanguageModel:
    """Open the session."""
    return OnnxLanguageModel(folder / "model.onnx", threads)
