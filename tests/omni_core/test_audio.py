"""Audio goes into bytes and comes back; resampling keeps a tone."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_contracts.errors import SourceError
from omni_core.audio import decode, encode_flac, encode_mp3, encode_ogg, resample

HALF_STEP = 0.5 / 32_768
SAMPLES = arrays(np.float32, st.integers(1, 400), elements=st.floats(-1, 1, width=32))


def tone(hz: float, rate_hz: int, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.float32)


@given(SAMPLES, st.sampled_from([8_000, 16_000, 22_050, 24_000, 48_000]))
@settings(max_examples=60, deadline=None)
def test_flac_returns_the_waveform_within_half_a_16_bit_step(waveform, rate_hz):
    back, back_hz = decode(encode_flac(waveform, rate_hz))
    assert back_hz == rate_hz and back.dtype == np.float32
    # full scale itself is not a 16-bit value: +1.0 becomes the last step under it
    assert np.all(np.abs(back - np.minimum(waveform, 1 - 2 * HALF_STEP)) <= HALF_STEP)


@given(SAMPLES)
@settings(max_examples=20, deadline=None)
def test_flac_of_a_decoded_flac_is_the_same_bytes(waveform):
    once = encode_flac(waveform, 16_000)
    assert encode_flac(*decode(once)) == once


@pytest.mark.parametrize(
    ("rate_hz", "written_hz"), [(16_000, 16_000), (22_050, 22_050), (24_000, 24_000), (96_000, 24_000)]
)
def test_mp3_is_the_same_tone_at_a_rate_that_players_know(rate_hz, written_hz):
    mp3 = encode_mp3(tone(440, rate_hz, 2.0), rate_hz)
    back, back_hz = decode(mp3)
    loudest = np.abs(np.fft.rfft(back[:back_hz])).argmax()
    assert back_hz == written_hz and abs(len(back) / back_hz - 2) < 0.1 and loudest == 440 and len(mp3) < 2 * 12_000


def test_ogg_is_heard_again_at_its_rate_and_length():
    waveform = tone(440, 24_000, 2.0)
    back, rate_hz = decode(encode_ogg(waveform, 24_000))
    assert rate_hz == 24_000 and len(back) == len(waveform)
    assert np.corrcoef(back, waveform)[0, 1] > 0.99


@pytest.mark.parametrize("form, subtype", [("WAV", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_stereo_is_mixed_down_in_every_container(tmp_path: Path, form: str, subtype: str):
    left, path = tone(300, 16_000), tmp_path / "stereo"
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), 16_000, format=form, subtype=subtype)
    waveform, rate_hz = decode(path)
    assert waveform.shape == left.shape and rate_hz == 16_000
    assert np.abs(waveform).max() == pytest.approx(0.25, abs=0.03)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SourceError, match=r"gone\.wav' does not exist; add the file"):
        decode(tmp_path / "gone.wav")


def test_broken_audio_is_refused_in_one_sentence():
    with pytest.raises(SourceError, match=r"is not readable audio .* export it again"):
        decode(b"RIFF\x04\0\0\0WAVEnothing")
    with pytest.raises(SourceError, match="is not readable audio"):
        decode(b"")


def test_a_file_without_samples_or_with_nan_is_refused():
    for samples, sentence in (([], "holds no samples"), ([0.1, np.nan], "not numbers")):
        file = io.BytesIO()
        soundfile.write(file, np.array(samples, np.float32), 16_000, format="WAV", subtype="FLOAT")
        with pytest.raises(SourceError, match=sentence):
            decode(file.getvalue())


@pytest.mark.parametrize("from_hz, to_hz", [(24_000, 16_000), (22_050, 16_000), (16_000, 24_000), (22_560, 16_000)])
def test_resampling_keeps_a_tones_pitch_and_level(from_hz: int, to_hz: int):
    heard = resample(tone(1_000, from_hz), from_hz, to_hz)
    inner = slice(200, min(len(heard), to_hz) - 200)
    assert len(heard) == pytest.approx(to_hz, abs=1)
    assert np.abs(heard - tone(1_000, to_hz, 2.0)[: len(heard)])[inner].max() < 0.01


def test_resampling_to_the_same_rate_changes_nothing():
    waveform = tone(440, 16_000)
    assert np.array_equal(resample(waveform, 16_000, 16_000), waveform)
