"""The number type is the device's, not the machine's best: a GPU in the room does not make the CPU multiply bfloat16."""

import torch

from omni_core.precision import fast_dtype


def test_a_gpu_answers_for_what_runs_on_it_and_the_cpu_for_the_rest(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    assert (fast_dtype("cuda"), fast_dtype("cpu")) == (torch.bfloat16, torch.float32)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert (fast_dtype("cuda"), fast_dtype("cpu")) == (torch.float32, torch.bfloat16)
