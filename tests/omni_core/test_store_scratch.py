"""Scratch folders of the living are left alone, those of the killed are cleared away."""

import subprocess
import sys

from omni_core.store import ArtifactStore

HOLDS = """
import sys
from omni_core.store import ArtifactStore
with ArtifactStore(sys.argv[1]).scratch("model") as folder:
    (folder / "half").write_text("half")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_only_the_scratch_folder_of_a_dead_process_is_cleared_away(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "written\n"
        (theirs,) = (tmp_path / ".tmp").iterdir()
        with ArtifactStore(tmp_path).scratch("model") as ours, ArtifactStore(tmp_path).scratch("model"):
            assert theirs.exists() and ours.exists()
    finally:
        process.kill()
        process.communicate()
    assert theirs.exists()
    with ArtifactStore(tmp_path).scratch("model"):
        assert not theirs.exists()
