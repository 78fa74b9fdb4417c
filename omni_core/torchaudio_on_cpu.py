"""Lets `import torchaudio` succeed beside a CPU-only torch; enters nothing, leaves nothing, runs once.

Every torchaudio wheel from 2.8 to 2.11 for x86-64 Linux links libc10_cuda.so. Beside a CPU build of
torch its compiled part cannot load, `import torchaudio` raises, and the mere presence of the package
breaks transformers' Whisper and Llama modules, which import it when they find it. Here the compiled
part is declared absent in that one case: resample, Spectrogram, MelSpectrogram, MFCC, GriffinLim and
the SpecAugment masks are plain torch and keep working; forced_align and rnnt_loss do not exist (see
omni_core/alignment.py for the aligner). With a CUDA build of torch nothing is touched.

Delete this module when a CPU wheel of torchaudio is on the package index.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

EXTENSION = "torchaudio._extension"


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def extension_can_load() -> bool:
    """True when torchaudio's compiled part finds the CUDA runtime library it links to."""
    torch_folder, audio_folder = _package_folder("torch"), _package_folder("torchaudio")
    if torch_folder is None or audio_folder is None:
        return True
    compiled = list((audio_folder / "lib").glob("_torchaudio*"))
    if not any(b"libc10_cuda" in path.read_bytes() for path in compiled):
        return True
    return any((torch_folder / "lib").glob("libc10_cuda*"))


def _no_alignment(function):
    def unavailable(*_args, **_kwargs):
        raise RuntimeError(
            f"torchaudio.{function.__name__} needs torchaudio's compiled part, which cannot load beside a "
            "CPU-only torch; omni_core.alignment.forced_align does the same in plain torch"
        )

    return unavailable


def hide_extension_if_it_cannot_load() -> bool:
    """Declare the compiled part absent where it cannot load; returns True when it was hidden.

    Must run before the first import of torchaudio or transformers; omni_core/__init__.py calls it.
    """
    if EXTENSION in sys.modules or extension_can_load():
        return False
    stand_in = types.ModuleType(EXTENSION)
    absent = {"_IS_TORCHAUDIO_EXT_AVAILABLE": False, "_IS_ALIGN_AVAILABLE": False, "fail_if_no_align": _no_alignment}
    vars(stand_in).update(absent)
    sys.modules[EXTENSION] = stand_in
    return True
