"""A family and a member's name enter, the member leaves: the folder is the registry.

    load("codecs", "mel_rvq", settings) -> omni_core.codecs.mel_rvq.load(settings)

A file in omni_core/<family>/ is a member; nothing is registered anywhere else.
"""

from __future__ import annotations

import ast
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


def constant(family: str, name: str, constant_name: str) -> Any:
    """A literal that the member's file assigns to a name, read without importing it: torch takes seconds.

    Raises ComponentError when the file assigns no such literal.
    """
    for node in ast.parse((OMNI_CORE / family / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == constant_name for t in node.targets
        ):
            return ast.literal_eval(node.value)
    raise ComponentError(f"omni_core/{family}/{name}.py does not say {constant_name}; assign it there")
