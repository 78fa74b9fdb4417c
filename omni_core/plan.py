"""Settings and the champion's cards enter; the plan leaves: what fits, what is retrained, from what, on what, how long.

    settings -> component facts -> refusals -> derived quantities                (plan_facts, plan_refusals, plan_lines)
    settings against the champion's -> changed parts -> stages that read them -> rows, seconds

Nothing is trained, loaded or downloaded beyond small files: a second or two. Which stage reads which part is STAGES, held
equal to the signatures of the flow's tasks by a test; the content cache of the flow then runs those stages or fewer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from data_contracts.base import Settings
from data_contracts.errors import ArtifactError
from data_contracts.ingest import Manifest
from data_contracts.plan import Plan
from data_contracts.quantize import QuantizedModel
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint
from omni_core.components import constant
from omni_core.plan_facts import Facts
from omni_core.plan_lines import derived_quantities, notes_of
from omni_core.plan_rows import plan_rows, training_estimates
from omni_core.plan_starts import starts_in_words, starts_of, starts_of_parallel
from omni_core.store import ArtifactStore

NEW = "new"
"""Difference of a part that the champion does not have: its speech head is trained otherwise."""
TRAINED = {"frozen": ("train listen", "train speak"),
           "trained": ("train alignment", "train adaption", "train multimodal")}  # fmt: skip
"""What a speech head does with the language model -> the training stages of the flow that it has (flows/training.py)."""
OWN = {"frozen": (*TRAINED["frozen"], "fit aligner", "speech targets", "language model states", "quantize language model"),
       "trained": (*TRAINED["trained"], "answer codes")}  # fmt: skip
"""Likewise -> all stages that no other head has."""
RECIPE = ("ingest", "encoder features", "answer codes", "fit codec", "language model", "speech head")
STAGES: dict[str, tuple[str, ...]] = {
    "ingest": ("data",),
    "fit codec": ("ingest", "codec"),
    "fit aligner": ("ingest", "codec.fit_minutes", "language"),
    "encoder features": ("ingest", "encoder"),
    "speech targets": ("ingest", "fit codec", "codec", "fit aligner", "language"),
    "language model states": ("ingest", "language model", "language"),
    "train listen": ("ingest", "encoder features", "encoder", "language model", "listen training"),
    "train speak": ("speech targets", "language model states", "fit codec", "codec", "speech head", "language",
                    "speak training"),
    "answer codes": ("ingest", "fit codec", "codec"),
    "train alignment": (*RECIPE, "alignment training"),
    "train adaption": ("train alignment", *RECIPE, "adaption training"),
    "train multimodal": ("train adaption", *RECIPE, "multimodal training"),
    "quantize language model": ("train listen", "ingest", "language model", "weight quantizer"),
    "quantize": ("quantize language model", *TRAINED["frozen"], *TRAINED["trained"], "fit codec", "ingest", "encoder", "language model", "codec", "speech head",
                 "weight quantizer"),
    "check consistency": ("quantize", "ingest"),
    "benchmark": ("quantize", "ingest"),
    "evaluate": ("quantize", "ingest"),
    "compare": ("evaluate", "benchmark", "check consistency"),
    "report": ("ingest", "fit codec", "fit aligner", *TRAINED["frozen"], *TRAINED["trained"], "quantize", "check consistency",
               "benchmark", "evaluate", "compare"),
}  # fmt: skip
"""Task of the flow -> the stages and parts of the settings that it reads. Settings of measuring are left out: they are
not part of a model, so the champion's cards do not hold them."""


def kind_of(settings: RetrainSettings) -> str:
    """What the speech head does with the language model: a key of TRAINED."""
    return constant("speech_heads", settings.components.speech_head.name, "LANGUAGE_MODEL")


def stages_of(kind: str) -> dict[str, tuple[str, ...]]:
    """STAGES without those of other heads, also where they are read."""
    others = {stage for other, stages in OWN.items() if other != kind for stage in stages}
    return {s: tuple(name for name in reads if name not in others) for s, reads in STAGES.items() if s not in others}


def roots_of(stage: str, kind: str = "frozen") -> set[str]:
    """Parts of the settings that a stage reads, directly or through the stages before it. kind: of TRAINED."""
    reads = stages_of(kind)
    return {root for name in reads[stage] for root in (roots_of(name, kind) if name in reads else {name})}


@dataclass(frozen=True)
class Champion:
    """The registered model that the plan compares with, by its cards."""

    version: str
    parts: dict[str, Any]
    """Part -> its settings when the champion was made, as JSON."""
    records: dict[str, int] = field(default_factory=dict)
    """Source -> records that ingest read then."""
    model: str = ""
    """Digest of its QuantizedModel."""
    starts: dict[str, str] = field(default_factory=dict)
    """Training stages of its head -> digest of the model that each started from, empty for random weights."""
    before: tuple[Champion, ...] = ()
    """The models that it was started from, and those that they were: to go back to one of them costs nothing."""

    @classmethod
    def read(cls, version: str, model: QuantizedModel, store: ArtifactStore) -> Champion:
        """Follow the model's lineage; raises ArtifactError when a card is missing."""
        components = model.facts["components"]
        kind = constant("speech_heads", components["speech_head"]["name"], "LANGUAGE_MODEL")
        stages = [name.removeprefix("train ") for name in TRAINED[kind]]
        trained = {stage: store.load(Checkpoint, model.inputs[stage]) for stage in stages}
        manifest = store.load(Manifest, trained[stages[0]].inputs["manifest"])
        return cls(version, {
            "data": manifest.settings, "language": model.facts["language"], "encoder": components["encoder"],
            "language model": components["language_model"], "codec": components["codec"],
            "speech head": components["speech_head"], "weight quantizer": model.settings["weight_quantizer"],
            **{f"{stage} training": made.settings for stage, made in trained.items()},
        }, {name: found["read"] for name, found in manifest.facts["sources"].items()}, model.digest,
            {f"train {stage}": made.inputs.get("start", "") for stage, made in trained.items()})  # fmt: skip


def parts_of(settings: RetrainSettings) -> dict[str, Any]:
    """Part -> its settings, as JSON: the same names as Champion.parts."""
    components = settings.components

    def plain(group: Settings) -> dict[str, Any]:
        return group.model_dump(mode="json")

    return {
        "data": plain(settings.ingest), "language": settings.ingest.language, "encoder": plain(components.encoder),
        "language model": plain(components.language_model), "codec": plain(components.codec),
        "speech head": plain(components.speech_head), "weight quantizer": settings.quantize.weight_quantizer,
        **{f"{stage} training": plain(group) for stage, group in training_of(settings).items()},
    }  # fmt: skip


def training_of(settings: RetrainSettings) -> dict[str, Settings]:
    """Training stage of the settings' head -> its settings, in order."""
    train = settings.train
    if kind_of(settings) == "frozen":
        return {"listen": train.listen, "speak": train.speak}
    return dict(train.parallel.stages)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Settings that differ, as "name: old -> new"; a setting that the champion's card does not know is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = [key for key in new if key in old]
        return [found for key in both for found in differences(old[key], new[key], f"{name}.{key}".strip("."))]
    return [] if old == new else [f"{name}: {_short(old)} -> {_short(new)}".removeprefix(": ")]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def changes_against(
    champion: Champion | None, settings: RetrainSettings, records: Mapping[str, int]
) -> dict[str, list[str]]:
    """Part -> what differs; without a champion every part is new."""
    parts = parts_of(settings)
    if champion is None:
        return {part: ["first run"] for part in parts}
    changes = {
        part: differences(champion.parts[part], parts[part]) if part in champion.parts else [NEW] for part in parts
    }
    grown = [name for name in records if name in champion.records and records[name] != champion.records[name]]
    changes["data"] += [f"{name}: {champion.records[name]} -> {records[name]} records" for name in grown]
    return changes


def stages_to_run(changes: dict[str, list[str]], kind: str = "frozen") -> tuple[str, ...]:
    """Stages that read a changed part, directly or through another stage, in the order of the flow. kind: of TRAINED."""
    dirty = {part for part, found in changes.items() if found}
    dirty |= {f"codec.{found.split(':')[0]}" for found in changes["codec"]}
    if changes["codec"] == ["first run"]:
        dirty |= set(STAGES["fit aligner"])
    if any(found == [NEW] for found in changes.values()):
        dirty |= set(OWN[kind])
    running: list[str] = []
    for stage, reads in stages_of(kind).items():
        if dirty & {stage, *reads}:
            dirty.add(stage)
            running.append(stage)
    return tuple(running)


def make_plan(settings: RetrainSettings, facts: Facts, champion: Champion | None, without_cards: str = "") -> Plan:
    """The plan of settings that passed preflight. without_cards: why a champion that there is cannot be compared."""
    changes = changes_against(champion, settings, facts.texts.records)
    kind = kind_of(settings)
    stages = stages_to_run(changes, kind)
    starts = (starts_of if kind == "frozen" else starts_of_parallel)(settings, champion, changes, stages)
    starts |= starts_of_the_same_before(settings, champion, facts.texts.records, starts, stages)
    in_words = starts_in_words(settings, starts, champion, changes, stages)
    threads = settings.threads or os.cpu_count() or 1
    against = (
        f"compared with version {champion.version}, the champion" if champion else "there is no champion: all is new"
    )
    return Plan(
        title=settings.title, champion=without_cards or against, derived=derived_quantities(settings, facts),
        rows=plan_rows(settings, facts, changes, stages, lambda stage: roots_of(stage, kind), in_words),
        stages_to_run=stages, starts=starts,
        stages_kept=tuple(stage for stage in stages_of(kind) if stage not in stages),
        estimates=training_estimates(settings, facts, stages, starts),
        estimated_for=f"{threads} threads left to it alone; throughput as measured on one AMD EPYC core "
                      "(benchmarks/training_throughput.py)",
        notes=notes_of(settings, facts),
    )  # fmt: skip


def starts_of_the_same_before(
    settings: RetrainSettings,
    champion: Champion | None,
    records: Mapping[str, int],
    starts: Mapping[str, str],
    stages: tuple[str, ...],
) -> dict[str, str]:
    """Stage -> the start that an earlier model had, which was trained as these settings say: the cache still has it."""
    found = {}
    for earlier in reversed(champion.before) if champion else ():
        then = stages_to_run(changes_against(earlier, settings, records), kind_of(settings))
        for stage, start in starts.items():
            if stage in stages and stage not in then and champion and start == champion.model:
                found[stage] = earlier.starts.get(stage, "")
    return found


def read_champion(version: str, digest: str, store: ArtifactStore) -> Champion:
    """The champion's cards, from the store; raises ArtifactError when the store does not hold them (any more)."""
    try:
        champion = Champion.read(version, store.load(QuantizedModel, digest), store)
    except KeyError as error:
        raise ArtifactError(f"the card of model {digest} lacks {error}; it was made by another release") from error
    return replace(champion, before=tuple(_before(champion, store)))


def _before(champion: Champion, store: ArtifactStore) -> Iterator[Champion]:
    """Models that it goes back to, the nearest first; those that the store has lost are passed over."""
    waiting, seen = list(champion.starts.values()), {"", champion.model}
    while waiting:
        if (digest := waiting.pop(0)) not in seen:
            seen.add(digest)
            with suppress(ArtifactError, KeyError):
                earlier = Champion.read(digest[:8], store.load(QuantizedModel, digest), store)
                waiting += earlier.starts.values()
                yield earlier
