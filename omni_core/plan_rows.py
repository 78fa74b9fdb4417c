"""Settings, facts and the stages that will run enter; the plan's table and its seconds leave: what is retrained, from what."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from data_contracts.plan import Estimate, PlanRow
from data_contracts.retrain import RetrainSettings
from omni_core import estimates
from omni_core.plan_facts import Facts, lengths_of, trained_parameters
from omni_core.plan_parallel import starts


def training_estimates(
    settings: RetrainSettings, facts: Facts, stages: tuple[str, ...], starts: Mapping[str, str]
) -> tuple[Estimate, ...]:
    """Seconds of the training stages that will run, on this machine's cores, left to it alone. starts: those of the stages."""
    listen, speak = settings.train.listen, settings.train.speak
    lengths, trained = lengths_of(settings, facts), trained_parameters(settings, facts)
    threads = settings.threads or os.cpu_count() or 1
    found = []
    for stage, group in settings.train.parallel.stages.items():
        if f"train {stage}" in stages and group.steps:
            work = estimates.recipe_flops(facts.lm, lengths, facts.encoder, facts.codec, group.batch) * group.steps
            found.append(
                Estimate(stage=f"train {stage}", steps=group.steps, seconds=estimates.seconds("answer", work, threads))
            )
    if "train listen" in stages and "adapter" in trained:
        first = estimates.alignment_flops(trained["adapter"], lengths, listen.alignment_batch) * listen.alignment_steps
        steps = listen.answer_steps + estimates.TEXT_PATH_STEP * listen.text_path_steps
        second = estimates.answer_flops(facts.lm, lengths, listen.answer_batch) * steps
        took = estimates.seconds("alignment", first, threads) + estimates.seconds("answer", second, threads)
        whole = listen.alignment_steps + listen.answer_steps + listen.text_path_steps
        found.append(Estimate(stage="train listen", steps=whole, seconds=took))
    if "train speak" in stages and "talker" in trained and facts.codec:
        steps = speak.steps_from(bool(starts.get("train speak")))
        work = estimates.speak_flops(trained["talker"], facts.codec, lengths, speak.batch, speak.decoded) * steps
        found.append(Estimate(stage="train speak", steps=steps, seconds=estimates.seconds("speak", work, threads)))
    return tuple(found)


def plan_rows(
    settings: RetrainSettings,
    facts: Facts,
    changes: dict[str, list[str]],
    stages: tuple[str, ...],
    roots_of: Callable[[str], set[str]],
    starts: Mapping[str, str],
) -> tuple[PlanRow, ...]:
    """The table: every part of a model, in the order in which sound passes it.

    roots_of: parts that a stage reads; starts: of the talker's stages, in words.
    """
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
    if "alignment training" in changes:
        between = _of_parallel(settings, facts, stages, row, because, starts)
    else:
        between = _of_talker(facts, stages, row, because, starts)
    return (
        row("data", "data", needs="all sources" if "ingest" in stages else "-"),
        row("language pack", "language", retrain="aligner refit" if "fit aligner" in stages else "no"),
        row("encoder", "encoder", retrain="no, frozen"),
        *between,
        row("codec", "codec", retrain=fit, needs=f"at most {codec.fit_minutes:g} min of answers" if fit == "refit" else "-"),
        row("served weights", "weight quantizer", retrain="converted" if "quantize" in stages else "no"),
    )  # fmt: skip


Row = Callable[..., PlanRow]


def _of_talker(
    facts: Facts, stages: tuple[str, ...], row: Row, because: Callable[[str], str], starts: Mapping[str, str]
) -> tuple[PlanRow, ...]:
    turns, texts = len(facts.texts.questions), facts.texts
    listens, speaks = "train listen" in stages, "train speak" in stages
    heard = f"{texts.number(turns)} questions, features {'computed' if 'encoder features' in stages else 'kept'}"
    spoken = (f"{texts.number(texts.distinct_answers)} sentences, codes {'computed' if 'speech targets' in stages else 'kept'}, "
              f"states {'computed' if 'language model states' in stages else 'kept'}")  # fmt: skip
    return (
        row("adapter and prefix", "listen training", retrain=because("train listen"), needs=heard if listens else "-",
            start=starts["train listen"] if listens else "-"),
        row("language model", "language model", retrain="no, frozen"),
        row("speech head", "speech head", "speak training", retrain=because("train speak"),
            start=starts["train speak"] if speaks else "-", needs=spoken if speaks else "-"),
    )  # fmt: skip


def _of_parallel(
    settings: RetrainSettings,
    facts: Facts,
    stages: tuple[str, ...],
    row: Row,
    because: Callable[[str], str],
    in_words: Mapping[str, str],
) -> tuple[PlanRow, ...]:
    trains = "train multimodal" in stages
    texts = facts.texts
    heard = f"{texts.number(len(texts.questions))} questions, features {'computed' if 'encoder features' in stages else 'kept'}"
    spoken = (
        f"{texts.number(texts.distinct_answers)} sentences, codes {'computed' if 'answer codes' in stages else 'kept'}"
    )
    listening, thinking, speaking = (
        start if trains else "-" for start in starts(settings, in_words["train alignment"])
    )
    return (
        row("adapter", "alignment training", retrain=because("train alignment"), start=listening,
            needs=heard if trains else "-"),
        row("language model", "language model", "adaption training", retrain=because("train adaption"), start=thinking,
            needs="the same questions and answers in writing" if trains else "-"),
        row("speech head", "speech head", "multimodal training", retrain=because("train multimodal"), start=speaking,
            needs=spoken if trains else "-"),
    )  # fmt: skip
