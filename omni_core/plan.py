"""Settings and the champion's cards enter; the plan leaves: what fits, what is retrained, from what, on what, how long.

    settings -> component facts -> refusals -> derived quantities                (plan_facts, plan_refusals, plan_lines)
    settings against the champion's -> changed parts -> stages that read them -> rows, seconds

Nothing is trained, loaded or downloaded beyond small files: a second or two. Which stage reads which part is STAGES, held
equal to the signatures of the flow's tasks by a test; the content cache of the flow then runs those stages or fewer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_contracts.base import Settings
from data_contracts.errors import ArtifactError
from data_contracts.ingest import Manifest
from data_contracts.plan import Estimate, Plan, PlanRow
from data_contracts.quantize import QuantizedModel
from data_contracts.retrain import RetrainSettings
from data_contracts.train import Checkpoint
from omni_core import estimates
from omni_core.plan_facts import Facts, lengths_of, trained_parameters
from omni_core.plan_lines import derived_quantities, notes_of
from omni_core.plan_starts import listen_start_in_words, start_of
from omni_core.store import ArtifactStore

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
    "quantize": ("train listen", "train speak", "fit codec", "ingest", "encoder", "language model", "codec", "speech head",
                 "weight quantizer"),
    "benchmark": ("quantize", "ingest"),
    "evaluate": ("quantize", "ingest"),
    "compare": ("evaluate", "benchmark"),
    "report": ("ingest", "fit codec", "fit aligner", "train listen", "train speak", "quantize", "benchmark", "evaluate",
               "compare"),
}  # fmt: skip
"""Task of the flow -> the stages and parts of the settings that it reads. Settings of measuring are left out: they are
not part of a model, so the champion's cards do not hold them."""


def roots_of(stage: str) -> set[str]:
    """Parts of the settings that a stage reads, directly or through the stages before it."""
    return {root for name in STAGES[stage] for root in (roots_of(name) if name in STAGES else {name})}


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
    """Training stage -> digest of the model that it started from; missing: from random weights."""

    @classmethod
    def read(cls, version: str, model: QuantizedModel, store: ArtifactStore) -> Champion:
        """Follow the model's lineage; raises ArtifactError when a card is missing."""
        listen, speak = (store.load(Checkpoint, model.inputs[role]) for role in ("listen", "speak"))
        manifest = store.load(Manifest, listen.inputs["manifest"])
        components = model.facts["components"]
        return cls(version, {
            "data": manifest.settings, "language": model.facts["language"], "encoder": components["encoder"],
            "language model": components["language_model"], "codec": components["codec"],
            "speech head": components["speech_head"], "weight quantizer": model.settings["weight_quantizer"],
            "listen training": listen.settings, "speak training": speak.settings,
        }, {name: found["read"] for name, found in manifest.facts["sources"].items()}, model.digest,
            {"train listen": listen.inputs["start"]} if "start" in listen.inputs else {})  # fmt: skip


def parts_of(settings: RetrainSettings) -> dict[str, Any]:
    """Part -> its settings, as JSON: the same names as Champion.parts."""
    components = settings.components

    def plain(group: Settings) -> dict[str, Any]:
        return group.model_dump(mode="json")

    return {
        "data": plain(settings.ingest), "language": settings.ingest.language, "encoder": plain(components.encoder),
        "language model": plain(components.language_model), "codec": plain(components.codec),
        "speech head": plain(components.speech_head), "weight quantizer": settings.quantize.weight_quantizer,
        "listen training": plain(settings.train.listen), "speak training": plain(settings.train.speak),
    }  # fmt: skip


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
    changes = {part: differences(champion.parts[part], parts[part]) for part in parts}
    grown = [name for name in records if name in champion.records and records[name] != champion.records[name]]
    changes["data"] += [f"{name}: {champion.records[name]} -> {records[name]} records" for name in grown]
    return changes


def stages_to_run(changes: dict[str, list[str]]) -> tuple[str, ...]:
    """Stages that read a changed part, directly or through another stage, in the order of the flow."""
    dirty = {part for part, found in changes.items() if found}
    dirty |= {f"codec.{found.split(':')[0]}" for found in changes["codec"]}
    if changes["codec"] == ["first run"]:
        dirty |= set(STAGES["fit aligner"])
    running: list[str] = []
    for stage, reads in STAGES.items():
        if dirty & set(reads):
            dirty.add(stage)
            running.append(stage)
    return tuple(running)


def training_estimates(settings: RetrainSettings, facts: Facts, stages: tuple[str, ...]) -> tuple[Estimate, ...]:
    """Seconds of the training stages that will run, on this machine's cores, left to it alone."""
    listen, speak = settings.train.listen, settings.train.speak
    lengths, trained = lengths_of(settings, facts), trained_parameters(settings, facts)
    threads = settings.train.threads or os.cpu_count() or 1
    found = []
    if "train listen" in stages and "adapter" in trained:
        first = estimates.alignment_flops(trained["adapter"], lengths, listen.alignment_batch) * listen.alignment_steps
        steps = listen.answer_steps + estimates.TEXT_PATH_STEP * listen.text_path_steps
        second = estimates.answer_flops(facts.lm, lengths, listen.answer_batch) * steps
        took = estimates.seconds("alignment", first, threads) + estimates.seconds("answer", second, threads)
        whole = listen.alignment_steps + listen.answer_steps + listen.text_path_steps
        found.append(Estimate(stage="train listen", steps=whole, seconds=took))
    if "train speak" in stages and "talker" in trained and facts.codec:
        work = estimates.speak_flops(trained["talker"], facts.codec, lengths, speak.batch, speak.decoded) * speak.steps
        found.append(
            Estimate(stage="train speak", steps=speak.steps, seconds=estimates.seconds("speak", work, threads))
        )
    return tuple(found)


def plan_rows(
    settings: RetrainSettings, facts: Facts, changes: dict[str, list[str]], stages: tuple[str, ...], listen_start: str
) -> tuple[PlanRow, ...]:
    """The table: every part of a model, in the order in which sound passes it. listen_start: in words."""
    turns, texts = len(facts.texts.questions), facts.texts
    codec = settings.components.codec

    def row(part: str, *names: str, retrain: str = "no", start: str = "-", needs: str = "-") -> PlanRow:
        changed = "; ".join(dict.fromkeys(found for name in names for found in changes[name])) or "no"
        return PlanRow(part=part, changed=changed, retrain=retrain, warm_start=start, data_needed=needs)

    def because(stage: str) -> str:
        if stage not in stages:
            return "no"
        roots = [part for part in sorted(roots_of(stage)) if changes.get(part)]
        return f"yes: {', '.join(roots)} changed" if len(roots) < len(changes) // 2 else "yes"

    fit = "refit" if "fit codec" in stages and not codec.weights else "no, frozen" if codec.weights else "no"
    listens, speaks = "train listen" in stages, "train speak" in stages
    heard = f"{turns} questions, features {'computed' if 'encoder features' in stages else 'kept'}"
    spoken = (f"{texts.distinct_answers} sentences, codes {'computed' if 'speech targets' in stages else 'kept'}, "
              f"states {'computed' if 'language model states' in stages else 'kept'}")  # fmt: skip
    return (
        row("data", "data", needs="all sources" if "ingest" in stages else "-"),
        row("language pack", "language", retrain="aligner refit" if "fit aligner" in stages else "no"),
        row("encoder", "encoder", retrain="no, frozen"),
        row("adapter and prefix", "listen training", retrain=because("train listen"), needs=heard if listens else "-",
            start=listen_start if listens else "-"),
        row("language model", "language model", retrain="no, frozen"),
        row("speech head", "speech head", "speak training", retrain=because("train speak"),
            start="random" if speaks else "-", needs=spoken if speaks else "-"),
        row("codec", "codec", retrain=fit, needs=f"at most {codec.fit_minutes:g} min of answers" if fit == "refit" else "-"),
        row("served weights", "weight quantizer", retrain="converted" if "quantize" in stages else "no"),
    )  # fmt: skip


def make_plan(settings: RetrainSettings, facts: Facts, champion: Champion | None, without_cards: str = "") -> Plan:
    """The plan of settings that passed preflight. without_cards: why a champion that there is cannot be compared."""
    changes = changes_against(champion, settings, facts.texts.records)
    stages = stages_to_run(changes)
    listen = settings.train.listen
    start = start_of(listen.start, "train listen", champion, "train listen" in stages)
    in_words = listen_start_in_words(start, champion, changes, listen.prefix_examples)
    threads = settings.train.threads or os.cpu_count() or 1
    against = (
        f"compared with version {champion.version}, the champion" if champion else "there is no champion: all is new"
    )
    return Plan(
        title=settings.title, champion=without_cards or against, derived=derived_quantities(settings, facts),
        rows=plan_rows(settings, facts, changes, stages, in_words), stages_to_run=stages, listen_start=start,
        stages_kept=tuple(stage for stage in STAGES if stage not in stages),
        estimates=training_estimates(settings, facts, stages),
        estimated_for=f"{threads} threads left to it alone; throughput as measured on one AMD EPYC core "
                      "(benchmarks/training_throughput.py)",
        notes=notes_of(settings, facts),
    )  # fmt: skip


def read_champion(version: str, digest: str, store: ArtifactStore) -> Champion:
    """The champion's cards, from the store; raises ArtifactError when the store does not hold them (any more)."""
    try:
        return Champion.read(version, store.load(QuantizedModel, digest), store)
    except KeyError as error:
        raise ArtifactError(f"the card of model {digest} lacks {error}; it was made by another release") from error
