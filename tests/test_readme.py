"""The README's tree names every file, or the folder or family that it belongs to, and nothing that is not there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("flows", "tasks", "omni_core", "data_contracts")


def tree() -> str:
    text = (REPOSITORY / "README.md").read_text()
    return text[text.index("## The tree") : text.index("How the model works")]


def files() -> list[Path]:
    found = [path.relative_to(REPOSITORY) for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in found if path.name != "__init__.py")


def sections() -> dict[str, str]:
    """Top folder -> its lines of the tree."""
    parts = re.split(r"^ {4}(\w+)/ ", tree(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_module_is_in_the_tree_by_its_name_or_its_folder():
    said = sections()
    missing = [
        str(path)
        for path in files()
        if path.parent.name != "data_contracts"  # said in one line: each is named after the stage that it is of
        and not re.search(rf"(?<![\w.]){re.escape(path.name)}\b", said[path.parts[0]])
        and not (len(path.parts) > 2 and f"{path.parts[1]}/" in said[path.parts[0]])
        and not (path.parts[0] == "tasks" and f"omni_core/{path.name}" in map(str, files()))  # the stage's own name
    ]
    assert not missing, missing


def test_the_tree_names_no_file_that_is_gone():
    names = {path.name for path in REPOSITORY.rglob("*.py") if ".venv" not in path.parts}
    assert [name for name in re.findall(r"[\w]+\.py\b", tree()) if name not in names] == []
