"""Settings, codec and the plan's start enter; the head that the first stage trains leaves, and where it can, one to compare it with.

    speech_head.weights are named       that head, fitted to codec and encoder; on another language model through a map
    the plan names the champion         its head, likewise
    neither                             a fresh head on the language model

A mapped head and a champion's are compared with one of random speech parts before the first step (warm_head.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from data_contracts.base import Artifact
from data_contracts.components import LanguageModelSettings, SpeechHeadSettings
from data_contracts.errors import WeightsError
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint, FittedCodec
from omni_core import bundled_weights, components
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.mini_omni import starting_point, warm_head
from omni_core.speech_heads import parallel
from omni_core.speech_heads.parallel import ParallelHead
from omni_core.store import ArtifactStore
from omni_core.warm_start import held_out_questions_learned


@dataclass(frozen=True)
class Start:
    """A head, the tokenizer of its text, what its folder says of its origin, and sentences about what was new."""

    head: ParallelHead
    tokenizer: Any
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()
    warm: ParallelHead | None = None
    """To be compared with `head`, whose speech parts are random then."""
    inputs: dict[str, Artifact] = field(default_factory=dict)
    """The model of the store that `warm` is from, for the lineage."""


@dataclass(frozen=True)
class Wanted:
    """What a head is fitted to."""

    speech_head: SpeechHeadSettings
    language_model: LanguageModelSettings
    codec: FittedCodec
    encoder_width: int
    home: Path
    seed: int

    def fitted(self, head: ParallelHead, generator: torch.Generator) -> tuple[ParallelHead, list[str]]:
        """See starting_point.refitted."""
        streams, size = self.codec.facts["num_codebooks"], self.codec.facts["codebook_size"]
        return starting_point.refitted(head, streams, size, self.encoder_width, generator)


def starting_head(wanted: Wanted, store: ArtifactStore, start: str, manifest: Manifest) -> Start:
    """start: digest of the model whose head it may start from, empty for none; see the module's table."""
    generator, home = torch.Generator().manual_seed(wanted.seed), wanted.home
    torch.manual_seed(wanted.seed)
    lm = components.load("language_models", wanted.language_model.name, wanted.language_model, home)
    if wanted.speech_head.weights:
        folder = Path(bundled_weights.resolve(wanted.speech_head.weights, home))
        if not _is_inside(wanted.language_model, folder, home):
            return _on_another_language_model(wanted, folder, lm, generator)
        given, (_, facts) = parallel.load(folder), parallel.read_config(folder)
        head, new = wanted.fitted(given, generator)
        return Start(head, lm.tokenizer, facts, tuple(new))
    model = _model_of(store, start, manifest)
    if model is None:
        return Start(
            _fresh(wanted, lm, generator), lm.tokenizer, {"source": f"fresh on {wanted.language_model.weights}"}
        )
    folder = store.folder(store.load(Checkpoint, model.inputs["multimodal"]))
    if _same_language_model(model, wanted.language_model):
        warm, new = wanted.fitted(parallel.load(folder), generator)
        facts = parallel.read_config(folder)[1]
        return Start(_fresh(wanted, lm, generator), lm.tokenizer, facts, tuple(new), warm, {"start": model})
    return _on_another_language_model(wanted, folder, lm, generator, {"start": model})


def _model_of(store: ArtifactStore, start: str, manifest: Manifest) -> QuantizedModel | None:
    """None too for one that has learned questions which are held out now: every later score would be flattered."""
    model = store.load(QuantizedModel, start) if start else None
    return None if model is None or held_out_questions_learned(store, model, manifest) else model


def _same_language_model(model: QuantizedModel, asked: LanguageModelSettings) -> bool:
    then = model.facts["components"]["language_model"]
    return (then["name"], then["weights"]) == (asked.name, asked.weights)


def _fresh(wanted: Wanted, lm: CausalLanguageModel, generator: torch.Generator) -> ParallelHead:
    asked = wanted.speech_head
    layout = starting_point.layout_on(
        lm.model, wanted.codec.facts["num_codebooks"], wanted.codec.facts["codebook_size"]
    )
    inner = asked.adapter_width or inner_width(lm.model.config.get_text_config())
    return starting_point.on_language_model(
        lm.model, layout, wanted.encoder_width, generator, asked.post_adapter_layers, inner
    )


def _on_another_language_model(
    wanted: Wanted,
    folder: Path,
    lm: CausalLanguageModel,
    generator: torch.Generator,
    inputs: dict[str, Artifact] | None = None,
) -> Start:
    (_, facts), tokenizer = parallel.read_config(folder), _tokenizer(folder)
    heads, notes = warm_head.on_another_language_model(parallel.load(folder), tokenizer, lm, generator)
    fitted = {name: wanted.fitted(head, generator) for name, head in heads.items()}
    head, new = fitted[warm_head.RANDOM]
    warm = fitted[warm_head.WARM][0] if warm_head.WARM in fitted else None
    kept = {"source": facts.get("source", "unknown"), "notes": facts.get("notes", [])}
    return Start(head, lm.tokenizer, kept, (*notes, *new), warm, inputs or {})


def inner_width(config: Any) -> int:
    """Of a language model's own blocks, as Mini-Omni's adapter has it."""
    return getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size


def _is_inside(language_model: LanguageModelSettings, folder: Path, home: Path) -> bool:
    """The settings' language model is the one inside the head's folder."""
    where = bundled_weights.resolve(language_model.weights, home)
    return language_model.name == "mini_omni" and Path(where).resolve() == folder.resolve()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"'{folder}' has no tokenizer that can be read; put tokenizer.json and tokenizer_config.json of the checkpoint there"
        ) from error
