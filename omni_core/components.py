"""A family and a member's name enter, the member leaves: the folder is the registry.

    load("codecs", "mel_rvq", settings) -> omni_core.codecs.mel_rvq.load(settings)

A file in omni_core/<family>/ is a member; nothing is registered anywhere else.
"""

from __future__ import annotations

import importlib
from typing import Any

from data_contracts.base import OMNI_CORE, choices
from data_contracts.errors import ComponentError


def load(family: str, name: str, *args: Any, **kwargs: Any) -> Any:
    """Import omni_core.<family>.<name> and return what its `load(*args, **kwargs)` returns.

    Raises ComponentError when the family or the member does not exist; it lists those that do.
    """
    if not family.isidentifier() or not (OMNI_CORE / family).is_dir():
        raise ComponentError(f"unknown family of components '{family}'; it would be a folder of omni_core")
    if name not in choices(family):
        raise ComponentError(f"unknown member of {family}: '{name}'; there are: {', '.join(choices(family))}")
    module = importlib.import_module(f"omni_core.{family}.{name}")
    return module.load(*args, **kwargs)
