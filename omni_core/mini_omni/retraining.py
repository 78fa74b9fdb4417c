"""Features of questions and codes of answers enter; one stage of Mini-Omni's recipe leaves as a Checkpoint.

    before = None          the head starts on the settings' language model, or from the folder that they name
    before = Checkpoint    it goes on from the stage before

A Checkpoint's folder is a folder of a parallel head with its tokenizer, so it can be started from, imported and exported.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from data_contracts.base import Artifact
from data_contracts.components import LanguageModelSettings, SpeechHeadSettings
from data_contracts.errors import SourceError, WeightsError
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint, FittedCodec, RecipeStageSettings
from omni_core import bundled_weights, components, tables
from omni_core.mapped_features import forget, mapped_features
from omni_core.mini_omni import recipe, starting_point
from omni_core.mini_omni.recipe import Turn
from omni_core.progress import Progress, silent
from omni_core.speech_heads import parallel
from omni_core.speech_heads.parallel import ParallelHead
from omni_core.store import ArtifactStore
from omni_core.train import numbered, work_folder
from omni_core.training_loop import Curve

VALIDATED_TURNS = 64
STAGES = {stage.name: stage for stage in recipe.STAGES}


@dataclass(frozen=True)
class Start:
    """A head, the tokenizer of its text, what its folder says of its origin, and sentences about what was new."""

    head: ParallelHead
    tokenizer: Any
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


def train_stage(
    store: ArtifactStore,
    stage: str,
    before: Checkpoint | None,
    manifest: Manifest,
    questions: list[FeatureShard],
    codes: list[FeatureShard],
    codec: FittedCodec,
    language_model: LanguageModelSettings,
    speech_head: SpeechHeadSettings,
    settings: RecipeStageSettings,
    home: Path,
    progress: Progress = silent,
) -> Checkpoint:
    """Train one stage of recipe.STAGES by its name. With 0 steps the head passes through, and is validated."""
    started, plan = time.monotonic(), STAGES[stage]
    plan = replace(plan, steps=settings.steps, learning_rate=settings.learning_rate)
    features, answers = mapped_features(store, questions, home / "work"), tables.answer_codes(store, codes)
    width = questions[0].facts["width"]
    start = (
        _from_checkpoint(store, before)
        if before
        else starting_head(speech_head, language_model, codec, width, home, settings.seed)
    )
    head, curve = start.head.to("cuda" if torch.cuda.is_available() else "cpu"), Curve()
    data = {split: turns_of(store, manifest, split, features, answers, start) for split in ("train", "validation")}
    work = work_folder(home, "mini_omni.retraining", [manifest, *questions, *codes, codec, *([before] if before else [])],
                       language_model, speech_head, settings)  # fmt: skip
    if settings.steps:
        recipe.train_stage(head, data["train"], plan, steps=settings.steps, batch=settings.batch, seed=settings.seed,
                           work=work, checkpoint_every=settings.checkpoint_every_steps, curve=curve, progress=progress,
                           micro_batch=settings.micro_batch)  # fmt: skip
    held_out = recipe.validate(head.eval(), data["validation"][:VALIDATED_TURNS], plan, settings.micro_batch)
    curve.add(settings.steps, turns=len(data["train"]), **held_out)
    facts = {"stage": stage, "seconds": round(time.monotonic() - started, 1), "turns": len(data["train"]),
             "trained_parameters": _trained(head, plan), "notes": list(start.notes), **held_out}  # fmt: skip
    if settings.steps:
        facts |= {name: curve.last(f"{stage}_{name}") for name in ("loss", "text", "audio")}
    inputs: dict[str, Artifact] = {"manifest": manifest, "codec": codec, **({"before": before} if before else {})}
    inputs |= numbered("questions", questions) | numbered("codes", codes)
    made = _commit(store, start, head.to("cpu"), curve, settings, facts, inputs)
    shutil.rmtree(work, ignore_errors=True)
    if stage == recipe.STAGES[-1].name:
        forget(questions, home / "work")
    return made


def turns_of(
    store: ArtifactStore,
    manifest: Manifest,
    split: str,
    features: dict[str, torch.Tensor],
    codes: dict[str, torch.Tensor],
    start: Start,
) -> list[Turn]:
    """Turns of a split as the recipe takes them, without those that the head's context cannot hold."""

    def words(text: str) -> list[int]:
        return start.tokenizer(text, add_special_tokens=False)["input_ids"]

    found = [
        Turn(words(turn["question_text"]), words(turn["answer_text"]), features.get(turn["question_id"]),
             codes.get(turn["answer_id"]))
        for turn in tables.turns(store, manifest, split)
    ]  # fmt: skip
    kept = [turn for turn in found if turn.steps(start.head.layout) <= start.head.context_steps]
    if found and not kept:
        raise SourceError(
            f"no {split} turn fits the {start.head.context_steps} steps of the head's context; lower ingest.quality.max_duration_s or choose a language model with a longer context"
        )
    return kept


def starting_head(
    speech_head: SpeechHeadSettings,
    language_model: LanguageModelSettings,
    codec: FittedCodec,
    encoder_width: int,
    home: Path,
    seed: int,
) -> Start:
    """The head that the settings name, fitted to the codec and the encoder's width; a fresh one when they name none."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    streams, size = codec.facts["num_codebooks"], codec.facts["codebook_size"]
    lm = components.load("language_models", language_model.name, language_model, home)
    if not speech_head.weights:
        layout = starting_point.layout_on(lm.model, streams, size)
        inner = speech_head.adapter_width or inner_width(lm.model.config.get_text_config())
        head = starting_point.on_language_model(
            lm.model, layout, encoder_width, generator, speech_head.post_adapter_layers, inner
        )
        return Start(head, lm.tokenizer, {"source": f"fresh on {language_model.weights}"})
    folder = Path(bundled_weights.resolve(speech_head.weights, home))
    given, (_, facts), notes = parallel.load(folder), parallel.read_config(folder), list[str]()
    if not _is_own(language_model, folder, home):
        given, notes = starting_point.on_another_language_model(
            given, _words(folder), lm.model, lm.tokenizer.get_vocab(), generator
        )
        facts = {"source": facts.get("source", "unknown"), "notes": facts.get("notes", [])}
    head, new = starting_point.refitted(given, streams, size, encoder_width, generator)
    return Start(head, lm.tokenizer, facts, (*notes, *new))


def inner_width(config: Any) -> int:
    """Of a language model's own blocks, as Mini-Omni's adapter has it."""
    return getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size


def _is_own(language_model: LanguageModelSettings, folder: Path, home: Path) -> bool:
    """The settings' language model is the one inside the head's folder."""
    where = bundled_weights.resolve(language_model.weights, home)
    return language_model.name == "mini_omni" and Path(where).resolve() == folder.resolve()


def _words(folder: Path) -> dict[str, int]:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder).get_vocab()
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"'{folder}' has no tokenizer that can be read; put tokenizer.json and tokenizer_config.json of the checkpoint there"
        ) from error


def _from_checkpoint(store: ArtifactStore, before: Checkpoint) -> Start:
    from transformers import AutoTokenizer

    folder = store.folder(before)
    return Start(parallel.load(folder), AutoTokenizer.from_pretrained(folder), parallel.read_config(folder)[1])


def _trained(head: ParallelHead, plan: recipe.Stage) -> int:
    recipe.prepare(head, plan)
    found = sum(p.numel() for p in head.parameters() if p.requires_grad)
    head.requires_grad_(False)
    return found


def _commit(
    store: ArtifactStore,
    start: Start,
    head: ParallelHead,
    curve: Curve,
    settings: RecipeStageSettings,
    facts: dict[str, Any],
    inputs: dict[str, Artifact],
) -> Checkpoint:
    pads_forced = start.facts.get("pads_forced", False) or settings.steps > 0
    with store.scratch(Checkpoint.kind) as folder:
        parallel.write(folder, head.config, parallel.saved_tensors(head), {**start.facts, "pads_forced": pads_forced})
        start.tokenizer.save_pretrained(folder)
        step, name, value = zip(*curve.rows, strict=True)
        pq.write_table(pa.table({"step": step, "name": name, "value": value}), folder / "curve.parquet")
        return store.commit(
            Checkpoint,
            folder,
            inputs=inputs,
            settings=settings.model_dump(mode="json"),
            facts=json.loads(json.dumps(facts)),
        )
