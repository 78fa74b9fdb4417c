"""Settings and the champion enter, the starts of the training stages leave, as digests or folders and in words.

A start is part of a stage's cache key. So a stage whose settings are still the champion's keeps the start that the champion
itself had, and is found in the cache; only a stage that has to be trained again starts from the champion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from data_contracts.errors import ComponentError
from data_contracts.retrain import RetrainSettings
from omni_core.start_folder import FROM_THE_CHAMPION, RANDOM, start_folder

Changes = Mapping[str, list[str]]
SHAPE_OF_A_HEAD = ("language", "speech head")
"""Parts whose change leaves a talker with other phonemes or another shape: nothing of it can go on."""


class Donor(Protocol):
    """What is asked of the champion (omni_core.plan.Champion)."""

    @property
    def version(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def starts(self) -> dict[str, str]: ...


def starts_of(
    settings: RetrainSettings, champion: Donor | None, changes: Changes, stages: tuple[str, ...]
) -> dict[str, str]:
    """Stage -> digest of a model, a folder, or empty for random. Raises ComponentError for a champion that cannot give it."""
    train = settings.train
    other_shape = [part for part in SHAPE_OF_A_HEAD if changes[part]]
    return {
        "train listen": _start_of("train listen", train.listen.start, champion, stages, []),
        "train speak": _start_of("train speak", train.speak.start, champion, stages, other_shape),
    }


def starts_of_parallel(
    settings: RetrainSettings, champion: Donor | None, changes: Changes, stages: tuple[str, ...]
) -> dict[str, str]:
    """The same for the parallel head, which has one start: that of its first stage. Weights that the settings name win."""
    if settings.components.speech_head.weights:
        return {"train alignment": ""}
    other_shape = [found for found in changes["speech head"] if not found.startswith("weights:")]
    unlike = ["speech head"] if other_shape else []
    start = _start_of("train alignment", settings.train.parallel.start, champion, stages, unlike)
    return {"train alignment": start}


def _start_of(stage: str, setting: str, champion: Donor | None, stages: tuple[str, ...], unlike: list[str]) -> str:
    if setting not in FROM_THE_CHAMPION:
        return "" if setting == RANDOM else setting
    if champion and stage not in stages:
        return champion.starts.get(stage, "")
    if champion and stage in champion.starts and not unlike:
        return champion.model
    if setting == "champion":
        why = f"{', '.join(unlike)} changed" if champion and unlike else "there is none that could be compared"
        name = "train.parallel" if stage == "train alignment" else stage.replace(" ", ".")
        raise ComponentError(f"{name}.start is 'champion', but nothing of it fits: {why}; set it to auto or random")
    return ""


def starts_in_words(
    settings: RetrainSettings,
    starts: Mapping[str, str],
    champion: Donor | None,
    changes: Changes,
    stages: tuple[str, ...],
) -> dict[str, str]:
    """Stage -> what the plan's table says of it, should it run."""
    fresh = f"prefix from the model's own cache of prompt and {settings.train.listen.prefix_examples} turns"
    listen, speak, head = (starts.get(f"train {stage}", "") for stage in ("listen", "speak", "alignment"))
    return {
        "train alignment": f"head of {_name(head, champion)}, if better than random" if head else "",
        "train listen": _listen_in_words(_name(listen, champion), changes, fresh)
        if listen
        else f"adapter random; {fresh}",
        "train speak": _speak_in_words(_name(speak, champion), "fit codec" in stages or bool(changes["codec"]))
        if speak
        else "random",
    }


def _name(start: str, champion: Donor | None) -> str:
    return f"version {champion.version}" if champion and start == champion.model else start


def _listen_in_words(name: str, changes: Changes, fresh: str) -> str:
    adapter = f"adapter of {name}"
    if changes["encoder"]:
        adapter += ", its first layers where they fit and help"
    if changes["language model"]:
        return f"{adapter}, its tokens matched by spelling, if better than random; {fresh}"
    return f"{adapter}, and its prefix, each if better than random"


def _speak_in_words(name: str, is_codec_new: bool) -> str:
    return f"head of {name}{', its codes anew' if is_codec_new else ''}, if better than random"


def refuse_no_start(settings: RetrainSettings) -> None:
    """Raises WeightsError for a start that is neither a word nor a served model's folder."""
    for stage, start in (("listen", settings.train.listen.start), ("speak", settings.train.speak.start)):
        if start not in (*FROM_THE_CHAMPION, RANDOM):
            start_folder(start, stage)
