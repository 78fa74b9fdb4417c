"""Audio files enter, mono float32 waveforms leave, and back: the one place that knows containers and sample rates.

    bytes or path --decode--> (waveform, sample_rate_hz) --resample--> ... --encode_flac--> bytes

A waveform here is always a numpy array (samples,) of float32, mono, full scale at -1 and 1.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from data_contracts.errors import SourceError

FULL_SCALE = 32_768
MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OGG_BLOCK_SAMPLES = 8_192  # libsndfile's Vorbis encoder overflows its stack on long single writes


def decode(data: bytes | Path | str) -> tuple[np.ndarray, int]:
    """Read wav, flac, ogg (Vorbis or Opus) or mp3 and mix it down to mono.

    Returns (waveform (samples,) float32, sample_rate_hz as the file states it).
    Raises SourceError, one sentence, when the file is missing, is no audio, is cut short to nothing or holds NaN.
    """
    name = f"audio of {len(data)} bytes" if isinstance(data, bytes) else f"'{data}'"
    if not isinstance(data, bytes) and not Path(data).is_file():
        raise SourceError(f"{name} does not exist; add the file or correct the path")
    try:
        file = io.BytesIO(data) if isinstance(data, bytes) else str(data)
        channels, sample_rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise SourceError(f"{name} is not readable audio ({_cause(error)}); export it again as wav or flac") from error
    if len(channels) == 0:
        raise SourceError(f"{name} holds no samples; export it again")
    if not np.isfinite(channels).all():
        raise SourceError(f"{name} holds samples that are not numbers; export it again")
    return channels.mean(axis=1, dtype=np.float32), int(sample_rate_hz)


def _cause(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Quantise to 16 bits, rounding to the nearest step and clipping at full scale; exact inverse of `/ 32768`."""
    return np.clip(np.rint(np.asarray(waveform, np.float64) * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def encode_flac(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """FLAC, mono, 16 bit. Equal waveforms give equal bytes; `decode` returns them within half a 16-bit step."""
    file = io.BytesIO()
    soundfile.write(file, to_int16(waveform), sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def encode_ogg(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """Ogg Vorbis, mono, for players in web pages. Lossy; the stream's serial number differs from call to call."""
    file = io.BytesIO()
    samples = np.asarray(waveform, np.float32)
    with soundfile.SoundFile(file, "w", sample_rate_hz, 1, format="OGG", subtype="VORBIS") as ogg:
        for start in range(0, len(samples), OGG_BLOCK_SAMPLES):
            ogg.write(samples[start : start + OGG_BLOCK_SAMPLES])
    return file.getvalue()


def encode_mp3(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """MP3, mono, variable rate (about 5 kB a second of speech at 24 kHz): the one small format that every phone plays."""
    rate_hz = sample_rate_hz if sample_rate_hz in MP3_RATES_HZ else 24_000
    samples, file = resample(waveform, sample_rate_hz, rate_hz), io.BytesIO()
    quality = {"compression_level": 0.7, "bitrate_mode": "VARIABLE"}
    soundfile.write(file, samples, rate_hz, format="MP3", subtype="MPEG_LAYER_III", **quality)
    return file.getvalue()


def resample(waveform: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Band-limited sinc resampling (torchaudio); (samples,) -> (ceil(samples * to_hz / from_hz),)."""
    if from_hz == to_hz or len(waveform) == 0:
        return np.asarray(waveform, np.float32)
    import torch
    from torchaudio.functional import resample as sinc_resample

    # The kernel's size grows with the reduced fraction; handing in the fraction keeps odd rates exact.
    ratio = Fraction(int(to_hz), int(from_hz))
    samples = torch.from_numpy(np.ascontiguousarray(waveform, np.float32))
    return sinc_resample(samples, ratio.denominator, ratio.numerator).numpy()


def encode_wav(waveform: np.ndarray, sample_rate_hz: int) -> bytes:
    """RIFF wav, mono, 16 bit: what every program reads. `decode` returns it within half a 16-bit step."""
    file = io.BytesIO()
    soundfile.write(file, to_int16(waveform), sample_rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()
