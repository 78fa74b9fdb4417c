"""The mel convention, against its definition written out."""

import torch
import torchaudio

from omni_core.mel import FLOOR, HOP, SAMPLE_RATE_HZ, WINDOW, log_mel


def test_log_mel_is_hifigan_s_definition():
    waveform = 0.1 * torch.randn(SAMPLE_RATE_HZ // 2, generator=torch.Generator().manual_seed(0))
    pad = (WINDOW - HOP) // 2
    padded = torch.cat([waveform[1 : pad + 1].flip(0), waveform, waveform[-pad - 1 : -1].flip(0)])
    frames = padded.unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW)
    magnitude = torch.fft.rfft(frames).abs()
    filters = torchaudio.functional.melscale_fbanks(WINDOW // 2 + 1, 0, 8000, 80, SAMPLE_RATE_HZ, "slaney", "slaney")
    assert torch.allclose(log_mel(waveform), (magnitude @ filters).clamp(min=FLOOR).log().T, atol=1e-3)


def test_a_frame_every_256_samples():
    assert log_mel(torch.zeros(2, 256 * 20)).shape == (2, 80, 20)
