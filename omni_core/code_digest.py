"""Names of modules enter, one digest of what their code does leaves; cache keys and lineage are made of it.

Comments, docstrings and layout do not count; imports are followed inside omni_core and data_contracts, also
those inside functions, so a change anywhere below a stage changes the stage's digest.
"""

from __future__ import annotations

import ast
import hashlib
import threading
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("omni_core", "data_contracts")
_one_reader = threading.RLock()
"""Two stages that start together ask for one module's digest together. Python 3.11 counts the parser's recursion for all
threads in one, so two that parse at once raise SystemError; and a tree is changed while its docstrings are dropped, so a
second reader would miss code and give another digest: stages were computed again with nothing changed."""


def code_digest(*modules: str) -> str:
    """Hex sha256 (32 digits) over the modules and everything of ours that they import, by dotted name.

    A package's name stands for its `__init__` alone; `omni_core.codecs.*` stands for every member of the family.
    Raises ModuleNotFoundError for a name that has no file.
    """
    with _one_reader:
        listing = "".join(f"{name}\0{_digest_of_module(name)}\n" for name in sorted(reachable(*modules)))
    return hashlib.sha256(listing.encode()).hexdigest()[:32]


def reachable(*modules: str) -> set[str]:
    """The modules and all of ours that they import, directly or through one another."""
    waiting = [name for module in modules for name in _expand(module)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return found


def _expand(module: str) -> list[str]:
    if not module.endswith(".*"):
        return [module]
    family = module.removesuffix(".*")
    folder = ROOT.joinpath(*family.split("."))
    return [f"{family}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def _file_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def _tree(module: str) -> ast.Module:
    path = _file_of(module)
    if path is None:
        raise ModuleNotFoundError(f"no file for module {module} under {ROOT}", name=module)
    with _one_reader:
        return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _digest_of_module(module: str) -> str:
    return digest_of_tree(_tree(module))


def digest_of_tree(tree: ast.Module) -> str:
    """Hex sha256 of a syntax tree without docstrings (comments and positions are not in it)."""
    return hashlib.sha256(ast.dump(_WithoutDocstrings().visit(tree)).encode()).hexdigest()


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of ours that one module imports: `import a.b`, `from a import b` where b may be a module."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(sorted(name for name in names if name.split(".")[0] in PACKAGES and _file_of(name)))


class _WithoutDocstrings(ast.NodeTransformer):
    """Drops every string that stands alone as a statement: docstrings and attribute docstrings."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node
