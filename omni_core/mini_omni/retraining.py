"""Features of questions and codes of answers enter; one stage of Mini-Omni's recipe leaves as a Checkpoint.

    before = None          the head starts where first_head.py says
    before = Checkpoint    it goes on from the stage before

A Checkpoint's folder is a folder of a parallel head with its tokenizer, so it can be started from, imported and exported.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from data_contracts.base import Artifact
from data_contracts.components import LanguageModelSettings, SpeechHeadSettings
from data_contracts.errors import SourceError
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint, FittedCodec, RecipeStageSettings
from omni_core import tables
from omni_core.mapped_features import forget, mapped_features
from omni_core.mini_omni import recipe, warm_head
from omni_core.mini_omni.first_head import Start, Wanted, starting_head
from omni_core.mini_omni.recipe import Turn
from omni_core.progress import Progress, silent
from omni_core.speech_heads import parallel
from omni_core.speech_heads.parallel import ParallelHead
from omni_core.store import ArtifactStore
from omni_core.train import numbered, work_folder
from omni_core.training_loop import Curve

VALIDATED_TURNS = 64
STAGES = {stage.name: stage for stage in recipe.STAGES}


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
    start_from: str,
    home: Path,
    progress: Progress = silent,
) -> Checkpoint:
    """Train one stage of recipe.STAGES by its name. With 0 steps the head passes through, and is validated.

    start_from: digest of the model whose head the first stage may start from (Plan.starts), empty for none.
    """
    started, plan = time.monotonic(), STAGES[stage]
    plan = replace(plan, steps=settings.steps, learning_rate=settings.learning_rate)
    features, answers = mapped_features(store, questions, home / "work"), tables.answer_codes(store, codes)
    width = questions[0].facts["width"]
    wanted = Wanted(speech_head, language_model, codec, width, home, settings.seed)
    start = _from_checkpoint(store, before) if before else starting_head(wanted, store, start_from, manifest)
    device, curve = "cuda" if torch.cuda.is_available() else "cpu", Curve()
    data = {split: turns_of(store, manifest, split, features, answers, start) for split in ("train", "validation")}
    work = work_folder(home, "mini_omni.retraining", [manifest, *questions, *codes, codec, *([before] if before else [])],
                       language_model, speech_head, settings, start=start_from)  # fmt: skip
    held_out_turns = data["validation"][:VALIDATED_TURNS]
    head, compared, notes = _better_start(start, device, held_out_turns, settings.micro_batch, curve)
    if settings.steps:
        recipe.train_stage(head, data["train"], plan, steps=settings.steps, batch=settings.batch, seed=settings.seed,
                           work=work, checkpoint_every=settings.checkpoint_every_steps, curve=curve, progress=progress,
                           micro_batch=settings.micro_batch)  # fmt: skip
    held_out = recipe.validate(head.eval(), held_out_turns, plan, settings.micro_batch)
    curve.add(settings.steps, turns=len(data["train"]), **held_out)
    facts = {"stage": stage, "seconds": round(time.monotonic() - started, 1), "turns": len(data["train"]),
             "trained_parameters": _trained(head, plan), "notes": notes, **compared, **held_out}  # fmt: skip
    if settings.steps:
        facts |= {name: curve.last(f"{stage}_{name}") for name in ("loss", "text", "audio")}
    inputs: dict[str, Artifact] = {"manifest": manifest, "codec": codec, **({"before": before} if before else {})}
    inputs |= start.inputs | numbered("questions", questions) | numbered("codes", codes)
    made = _commit(store, start, head.to("cpu"), curve, settings, facts, inputs)
    shutil.rmtree(work, ignore_errors=True)
    if stage == recipe.STAGES[-1].name:
        forget(questions, home / "work")
    return made


def _better_start(
    start: Start, device: str, turns: list[Turn], micro_batch: int, curve: Curve
) -> tuple[ParallelHead, dict[str, Any], list[str]]:
    """The head to train, where it is trained; the losses by which a warm one was taken or left; all notes."""
    head = start.head.to(device)
    if start.warm is None:
        return head, {}, list(start.notes)
    candidates = {warm_head.RANDOM: head, warm_head.WARM: start.warm.to(device)}
    head, compared, note = warm_head.choose(candidates, turns, micro_batch, curve)
    return head, compared, [*start.notes, note]


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
            f"no {split} turn fits the {start.head.context_steps} steps of the head's context; lower ingest.quality.max_duration_s and max_answer_duration_s, or choose a language model with a longer context"
        )
    return kept


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
