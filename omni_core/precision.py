"""A device enters, the fastest number type that it computes with leaves; scoring uses it, training decides itself."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


def fast_dtype(device: str) -> torch.dtype:
    """bfloat16 where the device ("cpu", "cuda") multiplies it, else float32; float16 is emulated on a CPU, 3-4 times slower.

    The device of the tensors, not the best of the machine: features, states and the refiner are computed on the CPU.
    """
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads(count: int) -> AbstractContextManager[None]:
    """Run torch with `count` CPU threads inside the block; the number before is put back."""
    return _threads(count)
