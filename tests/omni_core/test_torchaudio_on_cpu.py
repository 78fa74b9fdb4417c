"""torchaudio imports beside the torch of this machine, whichever build that is."""

import subprocess
import sys

import pytest
import torch

from omni_core import torchaudio_on_cpu


def test_torchaudio_and_transformers_whisper_import_in_a_fresh_process():
    code = "import omni_core, torchaudio, torch; print(torchaudio.functional.resample(torch.ones(160), 16000, 24000).shape[0])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "240"


@pytest.mark.skipif(torchaudio_on_cpu.extension_can_load(), reason="this machine's torch has CUDA: torchaudio is whole")
def test_what_is_missing_names_its_replacement():
    import torchaudio

    with pytest.raises(RuntimeError, match="forced_align"):
        torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2, dtype=torch.int32))
