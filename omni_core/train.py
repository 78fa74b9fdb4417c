"""Feature shards enter, a Checkpoint leaves: the two training stages, `listen` and `speak`, as the flow calls them."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from data_contracts.base import Artifact, Settings
from data_contracts.components import CodecSettings, EncoderSettings, LanguageModelSettings, SpeechHeadSettings
from data_contracts.errors import ArtifactError, SourceError
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint, FittedCodec, ListenSettings, SpeakSettings
from omni_core import components, listen, speak, tables, warm_start
from omni_core.adapter import Adapter, AdapterConfig
from omni_core.alignment import ALIGNER_FRAME_RATE_HZ
from omni_core.code_digest import code_digest
from omni_core.code_prior import project
from omni_core.prefix import TunedPrefix
from omni_core.progress import Progress, silent
from omni_core.speech_heads.talker import Talker, TalkerConfig
from omni_core.start_folder import start_folder
from omni_core.store import ArtifactStore
from omni_core.training_loop import Curve
from omni_core.warm_talker import start_talker

A = TypeVar("A", bound=Artifact)


def work_folder(home: Path, stage: str, inputs: list[Artifact], *settings: Settings, start: str = "") -> Path:
    """Where checkpoints of an unfinished stage lie: the name holds all that they depend on."""
    parts = [a.digest for a in inputs] + [s.model_dump_json() for s in settings] + [code_digest(f"omni_core.{stage}")]
    parts += [start] * bool(start)
    return home / "work" / f"{stage}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:20]}"


def numbered(role: str, artifacts: Sequence[A]) -> dict[str, A]:
    """ "targets 0", "targets 1", ... for a card's inputs: a role names one artifact."""
    return {f"{role} {number}": artifact for number, artifact in enumerate(artifacts)}


def _commit(
    store: ArtifactStore,
    weights: dict[str, Tensor],
    config: dict[str, Any],
    curve: Curve,
    inputs: dict[str, Artifact],
    settings: dict[str, Any],
    facts: dict[str, Any],
) -> Checkpoint:
    with store.scratch(Checkpoint.kind) as folder:
        save_file({k: v.detach().contiguous().clone() for k, v in weights.items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
        step, name, value = zip(*curve.rows, strict=True)
        pq.write_table(pa.table({"step": step, "name": name, "value": value}), folder / "curve.parquet")
        return store.commit(Checkpoint, folder, inputs=inputs, settings=settings, facts=facts)


def _weights(**modules: nn.Module) -> dict[str, Tensor]:
    return {f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()}


def train_listen(
    store: ArtifactStore,
    manifest: Manifest,
    questions: list[FeatureShard],
    encoder: EncoderSettings,
    language_model: LanguageModelSettings,
    settings: ListenSettings,
    start: str,
    home: Path,
    progress: Progress = silent,
) -> Checkpoint:
    """Train adapter and prefix for this encoder and language model.

    start: the served model that they start from where that beats random weights, as a digest of the store or a folder;
    empty: random.
    """
    started = time.monotonic()
    features = tables.encoder_features(store, questions)
    rate = questions[0].facts["frame_rate_hz"]
    data, held_out = (
        listen.ListenData([t for t in tables.turns(store, manifest, split) if t["question_id"] in features], features)
        for split in ("train", "validation")
    )
    lm = components.load("language_models", language_model.name, language_model, home)
    parts, curve = (encoder, language_model, settings), Curve()
    work = work_folder(home, "listen", [manifest, *questions], *parts, start=start)
    adapter = listen.new_adapter(lm, data, rate, settings.seed)
    donor, inputs = read_start(store, start, manifest)
    if donor:
        adapter = warm_start.start_adapter(donor, adapter, encoder, lm, data, held_out, curve)
    listen.train_alignment(adapter, lm, data, settings, work, curve, progress)
    curve.add(
        settings.alignment_steps, validation_alignment_loss=listen.validation_alignment_loss(adapter, lm, held_out)
    )
    prefix = listen.first_prefix(lm, data, settings)
    if donor:
        prefix = warm_start.start_answers(donor, adapter, prefix, lm, held_out, curve)
    listen.train_answers(adapter, prefix, lm, data, settings, work, curve, progress)
    if settings.text_path_steps:
        listen.train_text_path(adapter, prefix, lm, data, settings, work, curve, progress)
    curve.add(settings.answer_steps, **listen.validate(adapter, prefix, lm, held_out))
    facts = {"stage": "listen", "seconds": round(time.monotonic() - started, 1), "turns": len(data.turns),
             "trained_parameters": sum(p.numel() for m in (adapter, prefix) for p in m.parameters()),
             **{name: curve.last(name) for name in dict.fromkeys(n for _, n, _ in curve.rows)}}  # fmt: skip
    made = _commit(store, _weights(adapter=adapter, prefix=prefix), {"adapter": adapter.config_dict()}, curve,
                   {"manifest": manifest, **numbered("questions", questions), **inputs}, settings.model_dump(mode="json"), facts)  # fmt: skip
    shutil.rmtree(work, ignore_errors=True)
    return made


def read_start(
    store: ArtifactStore, start: str, manifest: Manifest
) -> tuple[warm_start.Donor | None, dict[str, Artifact]]:
    """What a start names, and the artifact that it is, for the lineage; a folder outside of the store is none.

    A model that has learned questions which are held out now is not started from: every later score would be flattered.
    """
    folder, inputs = _folder_of_start(store, start, "listen")
    if folder is None:
        return None, inputs
    if inputs and warm_start.held_out_questions_learned(store, inputs["start"], manifest):
        return None, inputs
    return warm_start.read_donor(folder, *load_listen(folder / "listen")), inputs


def _folder_of_start(store: ArtifactStore, start: str, stage: str) -> tuple[Path | None, dict[str, Artifact]]:
    if not start:
        return None, {}
    if Path(start).is_dir():
        return start_folder(start, stage), {}
    try:
        model = store.load(QuantizedModel, start)
        return start_folder(str(store.folder(model)), stage), {"start": model}
    except ArtifactError as error:
        raise ArtifactError(f"{error}: it was to be the start; set train.{stage}.start to random") from error


def load_listen(folder: Path) -> tuple[Adapter, TunedPrefix]:
    """Read adapter and prefix back, ready to serve."""
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())["adapter"]
    adapter = Adapter(AdapterConfig(**{**config, "tokens": tuple(config["tokens"])}), weights["adapter.embeddings"])
    adapter.load_state_dict({k.removeprefix("adapter."): v for k, v in weights.items() if k.startswith("adapter.")})
    return adapter.eval().requires_grad_(False), TunedPrefix(weights["prefix.keys_values"]).requires_grad_(False)


def spoken_answers(
    store: ArtifactStore, targets: list[FeatureShard], states: list[FeatureShard]
) -> dict[str, list[speak.SpokenAnswer]]:
    """split -> examples. Practice speech answers nothing, so it has no states: zeros, which the head knows from dropout."""
    import torch

    known = tables.word_states(store, states)
    found: dict[str, list[speak.SpokenAnswer]] = {"train": [], "validation": [], "test": []}
    width = next(iter(known.values())).shape[1]
    for row in (row for shard in targets for row in tables.rows(store, shard, "features.parquet")):
        words = torch.tensor(row["word_of_phoneme"])
        found[row["split"]].append(speak.SpokenAnswer(
            torch.tensor(row["phonemes"]), words, torch.tensor(row["durations"]), torch.tensor(row["log_f0"]),
            torch.tensor(row["energy"]), tables.unpack(row["codes"], np.int16, row["codebooks"], row["frames"]).long(),
            known.get(row["utterance_id"], torch.zeros(int(words.max()) + 1, width)),
        ))  # fmt: skip
    if not found["train"]:
        raise SourceError(
            "there is no training answer with speech targets; check the split column and the rejected table"
        )
    return found


def train_speak(
    store: ArtifactStore,
    targets: list[FeatureShard],
    states: list[FeatureShard],
    codec: FittedCodec,
    codec_settings: CodecSettings,
    speech_head: SpeechHeadSettings,
    language: str,
    settings: SpeakSettings,
    start: str,
    home: Path,
    progress: Progress = silent,
) -> Checkpoint:
    """Train the speech head for this codec and these language model states. start: as of train_listen."""
    import torch

    started = time.monotonic()
    answers = spoken_answers(store, targets, states)
    pack = components.load("languages", language)
    speaker = components.load("codecs", codec_settings.name, codec_settings, store.folder(codec), home)
    vectors = project(speaker.code_vectors())
    config = TalkerConfig(
        pack.num_bases, pack.num_stresses, answers["train"][0].states.shape[1], codec.facts["num_codebooks"],
        codec.facts["codebook_size"], codec.facts["frame_rate_hz"], ALIGNER_FRAME_RATE_HZ,
        vectors.shape[2], speech_head.width, speech_head.num_layers, speech_head.num_heads,
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    talker, curve = Talker(config), Curve()
    talker.set_code_vectors(vectors)
    folder, inputs = _folder_of_start(store, start, "speak")
    random = talker
    if folder:
        speak.set_prosody_scale(talker, answers["train"])
        talker = start_talker(load_speak(folder / "speak"), random, answers["validation"], curve)
    work = work_folder(home, "speak", [*targets, *states, codec], speech_head, settings, start=start)
    steps = settings.steps_from(talker is not random)
    speak.train(talker, answers["train"], settings, steps, work, curve, progress)
    if answers["validation"]:
        curve.add(steps, **speak.validate(talker, answers["validation"]))
    not_aligned = [answer for shard in targets for answer in shard.facts["not_aligned"]]
    facts = {"stage": "speak", "steps": steps, "seconds": round(time.monotonic() - started, 1), "answers": len(answers["train"]),
             "answers_not_aligned": len(not_aligned), "not_aligned": not_aligned,
             "trained_parameters": sum(p.numel() for p in talker.parameters()),
             **{name: curve.last(name) for name in dict.fromkeys(n for _, n, _ in curve.rows)}}  # fmt: skip
    made = _commit(store, _weights(talker=talker), {"talker": talker.config_dict()}, curve,
                   {"codec": codec, **numbered("targets", targets), **numbered("states", states), **inputs},
                   settings.model_dump(mode="json"), facts)  # fmt: skip
    shutil.rmtree(work, ignore_errors=True)
    return made


def load_speak(folder: Path) -> Talker:
    """Read a talker back, ready to serve."""
    config = json.loads((folder / "config.json").read_text())["talker"]
    talker = Talker(TalkerConfig(**config))
    talker.load_state_dict({k.removeprefix("talker."): v for k, v in load_file(folder / "model.safetensors").items()})
    return talker.eval().requires_grad_(False)
