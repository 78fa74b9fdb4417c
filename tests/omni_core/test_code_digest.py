import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from omni_core import code_digest as module
from omni_core.code_digest import code_digest, reachable

STAGE = '''"""Doc."""
from omni_core.helper import double


def stage(x):
    """Doc."""
    return double(x)
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two modules, and a function that rewrites one of them and returns the stage's digest."""
    (tmp_path / "omni_core").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)

    def digest(**sources):
        for name, source in sources.items():
            (tmp_path / "omni_core" / f"{name}.py").write_text(source)
        for cached in (module._tree, module._imports, module._digest_of_module):
            cached.cache_clear()
        return code_digest("omni_core.stage")

    digest(stage=STAGE, helper="def double(x):\n    return 2 * x\n")
    yield digest
    for cached in (module._tree, module._imports, module._digest_of_module):
        cached.cache_clear()


def test_comments_docstrings_and_layout_do_not_count(project):
    before = project()
    assert project(stage=STAGE.replace("Doc.", "Better doc.").replace("def stage", "# why\ndef stage")) == before


def test_code_counts(project):
    before = project()
    assert project(stage=STAGE.replace("double(x)", "double(x) + 1")) != before


def test_code_of_an_imported_module_counts_even_when_imported_inside_a_function(project):
    lazy = "def stage(x):\n    from omni_core import helper\n    return helper.double(x)\n"
    before = project(stage=lazy)
    assert project(helper="def double(x):\n    return 3 * x\n") != before


def test_modules_that_import_each_other_end(project):
    project(helper="from omni_core import stage\n\ndef double(x):\n    return 2 * x\n")
    assert reachable("omni_core.stage") == {"omni_core.stage", "omni_core.helper"}


def test_a_star_stands_for_every_member_of_a_family():
    assert "omni_core.languages.en" in reachable("omni_core.languages.*")


def test_a_module_without_a_file_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"omni_core\.nowhere"):
        code_digest("omni_core.nowhere")


def test_the_core_does_not_reach_the_tasks():
    assert not any(name.startswith(("tasks", "flows")) for name in reachable("omni_core.ingest"))


def test_stages_that_start_together_get_the_digest_that_each_would_get_alone():
    def anew() -> None:
        for cached in (module._tree, module._imports, module._digest_of_module):
            cached.cache_clear()

    anew()
    alone, interval = code_digest("omni_core.features"), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads change places often, as on a busy machine
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                anew()
                assert set(pool.map(code_digest, ["omni_core.features"] * 4)) == {alone}
    finally:
        sys.setswitchinterval(interval)
