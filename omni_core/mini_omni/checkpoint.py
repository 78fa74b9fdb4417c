"""A folder as Mini-Omni was released enters, a folder of ours leaves, and back.

    lit_model.pth      model_config.yaml      tokenizer.json  tokenizer_config.json        Mini-Omni's
    model.safetensors  config.json            tokenizer.json  tokenizer_config.json        ours

Whatever of the file is not used, or not as its configuration says, becomes a note: it is said, and kept in config.json.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from data_contracts.errors import StorageError, WeightsError
from omni_core.mini_omni import model_config as shape
from omni_core.mini_omni.weight_names import from_mini_omni, to_mini_omni
from omni_core.speech_heads import parallel
from omni_core.speech_heads.parallel import ParallelConfig

WEIGHTS, CONFIG = "lit_model.pth", "model_config.yaml"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
EMBEDDING, HEAD = "transformer.wte.weight", "lm_head.weight"
LINEAR, LINEAR_BIAS = "whisper_adapter.weight", "whisper_adapter.bias"
SOURCE = "mini-omni"


@dataclass(frozen=True)
class Imported:
    """What an import or an export made: the folder, its shape, and sentences for a person."""

    folder: Path
    config: ParallelConfig
    notes: tuple[str, ...]

    def summary(self) -> str:
        """One line: where it is and what it is."""
        c, trunk = self.config, self.config.trunk
        after = f", post-adapter of {c.post_adapter_layers} layers" if c.post_adapter_layers else ""
        return (
            f"{self.folder}: {trunk['num_hidden_layers']} layers of width {trunk['hidden_size']}, "
            f"{'tied' if c.tied else 'untied'} embeddings{after}, {c.layout.num_streams} audio streams"
        )


def import_mini_omni(source: Path, target: Path, tied: bool | None = None) -> Imported:
    """Released folder -> ours. tied: None does what model_config.yaml says, False keeps both matrices.

    Raises WeightsError or ComponentError for a source that is not Mini-Omni, StorageError for a target that exists.
    """
    model_config, tensors = _read_yaml(source), _read_tensors(source / WEIGHTS)
    notes: list[str] = []
    variant = _variant(model_config, tensors, tied, notes)
    config = shape.read(model_config, variant)
    _add_bias_of_linear_adapter(tensors, notes)
    converted, unknown = from_mini_omni(tensors, shape.heads(model_config))
    if variant.tied:
        del converted["lm_head.weight"]
    _check(config, converted, unknown)
    with _whole_folder(target) as folder:
        notes += _copy_tokenizer(source, folder)
        facts = {"source": SOURCE, "model_config": model_config, "notes": notes}
        parallel.write(folder, config, converted, facts)
    return Imported(target, config, tuple(notes))


def export_mini_omni(source: Path, target: Path) -> Imported:
    """Our folder -> one that Mini-Omni's own code loads. A tied head stores its matrix under both names, as it wants."""
    config, facts = parallel.read_config(source)
    written = shape.write(config, facts.get("model_config"))
    try:
        tensors = load_file(source / "model.safetensors")
    except OSError as error:
        raise WeightsError(f"'{source}' has no model.safetensors; import the model again") from error
    if config.tied:
        tensors["lm_head.weight"] = tensors["trunk.embed_tokens.weight"]
    _check(config, {k: v for k, v in tensors.items() if not (config.tied and k == "lm_head.weight")}, [])
    with _whole_folder(target) as folder:
        torch.save(to_mini_omni(tensors, shape.heads(written)), folder / WEIGHTS)
        (folder / CONFIG).write_text(yaml.safe_dump(written, sort_keys=False))
        notes = _copy_tokenizer(source, folder)
    return Imported(target, config, tuple(notes))


def _read_yaml(source: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load((source / CONFIG).read_text())
    except FileNotFoundError:
        raise WeightsError(f"'{source}' has no {CONFIG}; name the folder of a Mini-Omni checkpoint") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WeightsError(f"'{source / CONFIG}' cannot be read as YAML; fetch it again") from error
    missing = {"n_layer", "n_head", "n_embd", "intermediate_size"} - set(values if isinstance(values, dict) else ())
    if missing:
        raise WeightsError(f"'{source / CONFIG}' has no {', '.join(sorted(missing))}; take the file of the checkpoint")
    return values


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WeightsError(f"'{path.parent}' has no {path.name}; name the folder of a Mini-Omni checkpoint") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(
            f"'{path}' holds more than tensors, or is cut off; it was not read: {str(error).splitlines()[0]}; fetch it again"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"'{path}' is not a flat state dict of tensors; save model.state_dict() itself")
    return tensors


def _variant(
    model_config: dict[str, Any], tensors: dict[str, Tensor], tied: bool | None, notes: list[str]
) -> shape.Variant:
    """What the file and its configuration agree on; where they do not, a note."""
    layers = _count_post_adapter(model_config, tensors, notes)
    vision = tensors.get("vision_adapter.fc_1.weight")
    if vision is None and model_config.get("vision_adapter_dim"):
        notes.append(
            "model_config.yaml names a vision adapter (vision_adapter_dim) and the file has none: it is not exported again"
        )
    if vision is not None:
        notes.append(
            "the vision adapter (Mini-Omni2) is kept and goes back out on export; it is not used, no image is read here"
        )
    asked = bool(model_config.get("tie_word_embeddings", False)) if tied is None else tied
    return shape.Variant(_is_tied(asked, tensors, notes), layers, 0 if vision is None else vision.shape[1])


def _is_tied(asked: bool, tensors: dict[str, Tensor], notes: list[str]) -> bool:
    """Fills in the one of the two matrices that is missing, and keeps the embedding where a tied head has two."""
    embedding, head = tensors.get(EMBEDDING), tensors.get(HEAD)
    if embedding is None and head is None:
        raise WeightsError(f"{WEIGHTS} has neither {EMBEDDING} nor {HEAD}; it is not a Mini-Omni checkpoint")
    if embedding is None or head is None:
        stored = EMBEDDING if head is None else HEAD
        if not asked:
            notes.append(
                f"the file stores {stored} only, so the embeddings are tied, though model_config.yaml says not"
            )
        tensors[EMBEDDING] = tensors[HEAD] = tensors[stored]
        return True
    if asked and not torch.equal(embedding, head):
        notes.append(
            "tied embeddings are asked for, and the file stores two different matrices: transformer.wte.weight is kept "
            "and lm_head.weight set aside, as in Mini-Omni's own code; import with --untied to keep both"
        )
    return asked


def _count_post_adapter(model_config: dict[str, Any], tensors: dict[str, Tensor], notes: list[str]) -> int:
    """Blocks of the post-adapter: model_config.yaml says whether, the file how many."""
    prefix = "transformer.post_adapter"
    names = [name for name in tensors if name.startswith(prefix)]
    blocks = {name.split(".")[2] for name in names if name.startswith(f"{prefix}.")}
    if names and not model_config.get("post_adapter", False):
        for name in names:
            del tensors[name]
        notes.append(
            f"model_config.yaml runs without the post-adapter, so its {len(names)} tensors in the file are set aside; write post_adapter: true there to use them"
        )
        return 0
    if model_config.get("post_adapter", False) and not names:
        raise WeightsError(
            f"model_config.yaml asks for a post-adapter and {WEIGHTS} holds none of its tensors: the file is cut short or another model's; fetch it again"
        )
    stated = model_config.get("post_adapter_layers", len(blocks))
    if names and stated != len(blocks):
        raise WeightsError(
            f"model_config.yaml states {stated} post_adapter_layers and {WEIGHTS} holds {len(blocks)}; take the file that belongs to the weights"
        )
    return len(blocks)


def _add_bias_of_linear_adapter(tensors: dict[str, Tensor], notes: list[str]) -> None:
    """Mini-Omni's linear adapter has one, and its code loads no file without; zeros change nothing."""
    if (weight := tensors.get(LINEAR)) is not None and LINEAR_BIAS not in tensors:
        tensors[LINEAR_BIAS] = weight.new_zeros(len(weight))
        notes.append("the linear speech adapter has no bias in the file; it gets one of zeros")


def _check(config: ParallelConfig, tensors: dict[str, Tensor], unknown: list[str]) -> None:
    """Every tensor is there, none too many, each of the shape that the configuration says."""
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in parallel.saved_tensors(parallel.empty(config)).items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    wrong = [f"no {name}" for name in expected.keys() - found.keys()]
    wrong += [f"{name} is unknown" for name in [*unknown, *(found.keys() - expected.keys())]]
    wrong += [f"{name} is {found[name]} instead of {size}"
              for name, size in expected.items() if found.get(name, size) != size]  # fmt: skip
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(
            f"the weights do not fit their configuration: {'; '.join(sorted(wrong)[:3])}{more}; take both from one checkpoint"
        )


def _copy_tokenizer(source: Path, folder: Path) -> list[str]:
    absent = [name for name in TOKENIZER if not (source / name).is_file()]
    for name in TOKENIZER:
        if name not in absent:
            shutil.copyfile(source / name, folder / name)
    return [f"{' and '.join(absent)} not in {source}: text cannot be read or written without"] if absent else []


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A folder to write into that gets its name when it is whole."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"'{target}' exists; name a new folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise StorageError(f"cannot write beside '{target}': {error.strerror}; choose another place") from error
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp makes it for its owner only
        folder.replace(target)
    except OSError as error:
        raise StorageError(f"cannot write '{target}': {error.strerror or error}; free some space") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
