"""A setting and the champion enter, the start of a training stage leaves, as a digest or folder and as words of the plan.

A start is part of a stage's cache key. So a stage whose settings are still the champion's keeps the start that the champion
itself had, and is found in the cache; only a stage that has to be trained again starts from the champion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from data_contracts.errors import ComponentError
from omni_core.start_folder import FROM_THE_CHAMPION, RANDOM

if TYPE_CHECKING:
    from omni_core.plan import Champion


def start_of(setting: str, stage: str, champion: Champion | None, runs: bool) -> str:
    """Digest of a model, a folder, or empty for random. Raises ComponentError for `champion` where there is none."""
    if setting == RANDOM:
        return ""
    if setting not in FROM_THE_CHAMPION:
        return setting
    if champion is None:
        if setting == "champion":
            raise ComponentError(
                "train.listen.start is 'champion' and there is none to be compared with; set it to auto or random"
            )
        return ""
    return champion.model if runs else champion.starts.get(stage, "")


def listen_start_in_words(
    start: str, champion: Champion | None, changes: Mapping[str, list[str]], examples: int
) -> str:
    """What the plan's table says of a stage that runs."""
    fresh = f"prefix from the model's own cache of prompt and {examples} turns"
    if not start:
        return f"adapter random; {fresh}"
    if champion is None or start != champion.model:
        return (
            f"adapter of {start} as far as it fits; prefix too with the same language model; each if better than random"
        )
    adapter = f"adapter of version {champion.version}"
    if changes["encoder"]:
        adapter += ", first layers random if that is better"
    if changes["language model"]:
        return f"{adapter}, its tokens matched by spelling, if better than random; {fresh}"
    return f"{adapter}, and its prefix, each if better than random"
