"""Scratch folders of the living are left alone, those of the killed are cleared away; a full disk is one sentence."""

import os
import subprocess
import sys
import tempfile

import pytest
import torch
from safetensors.torch import save_file

from data_contracts.errors import StorageError
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


def test_a_folder_that_another_process_clears_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Two stages that began at once ended the demo's second run with "No such file or directory"."""
    make, made = tempfile.mkdtemp, []

    def cleared_once(**where):
        made.append(make(**where))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", cleared_once)
    with ArtifactStore(tmp_path).scratch("model") as folder:
        (folder / "half").write_text("half")
    assert len(made) == 2


def test_weights_on_a_full_disk_are_one_sentence_and_nothing_is_left(small_disk):
    store = ArtifactStore(small_disk / "store")
    full = pytest.raises(StorageError, match="is full while writing 'model'; free some space and start again")
    with full, store.scratch("model") as folder:
        save_file({"weights": torch.zeros(1 << 20)}, folder / "model.safetensors")
    assert list((small_disk / "store" / ".tmp").iterdir()) == []
