"""The judge writes down real speech, in order, whatever its length, and says what is wrong with what it cannot load."""

from dataclasses import replace

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from data_contracts.errors import MetricError, WeightsError
from omni_core import components
from omni_core.audio import decode, resample
from omni_core.judge import Kept, kept_frames, load_judge


@pytest.fixture(scope="module")
def words():
    return components.load("languages", "en").words


@pytest.fixture(scope="module")
def clips(spoken):
    return [(text, decode(audio)[0]) for text, audio in spoken.items()]


def errors(words, texts, heard):
    return sum(Levenshtein.distance(words(text), words(other)) for text, other in zip(texts, heard, strict=True))


def test_texts_come_back_in_order_at_any_sample_rate(judge, clips, words):
    texts, waveforms = [text for text, _ in clips], [waveform for _, waveform in clips]
    total = sum(len(words(text)) for text in texts)
    heard = judge.transcribe(waveforms, 24_000)
    assert errors(words, texts, heard) <= 0.1 * total
    at_16k = judge.transcribe([resample(waveform, 24_000, 16_000) for waveform in waveforms], 16_000)
    assert errors(words, heard, at_16k) <= 0.05 * total


def test_a_multilingual_judge_is_told_the_language(weights, clips, words):
    base = load_judge(str(weights / "whisper_base"), language="en")
    texts, waveforms = [text for text, _ in clips], [waveform for _, waveform in clips]
    assert errors(words, texts, base.transcribe(waveforms, 24_000)) <= 0.06 * sum(len(words(text)) for text in texts)
    heard = base.listen([*waveforms[:3], np.zeros(0, np.float32)], 24_000)
    assert [h.language for h in heard] == ["en"] * 3 + [None] and all(h.language_probability > 0.9 for h in heard[:3])
    with pytest.raises(WeightsError, match="does not know the language 'xx'"):
        load_judge(str(weights / "whisper_base"), language="xx")


def test_the_thinned_window_hears_what_the_whole_one_hears(judge, clips, words, monkeypatch):
    waveforms = [waveform for _, waveform in clips[:4]]
    thinned = judge.transcribe(waveforms, 24_000)
    monkeypatch.setattr("omni_core.judge.SILENCE_STRIDE", 1)
    assert errors(words, judge.transcribe(waveforms, 24_000), thinned) <= 1


def test_speech_longer_than_the_window_is_read_in_pieces_in_order(judge, clips, words):
    pause = np.zeros(12_000, np.float32)
    texts = [text for text, _ in clips] * 2
    long = np.concatenate([part for _, waveform in clips * 2 for part in (waveform, pause)])
    assert len(long) > 30 * 24_000
    (heard,) = judge.transcribe([long], 24_000)
    reference = [word for text in texts for word in words(text)]
    assert Levenshtein.distance(reference, words(heard)) <= 0.25 * len(reference)


def test_nothing_to_hear_is_an_empty_text_and_noise_ends(judge):
    assert judge.transcribe([], 24_000) == []
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    empty, noisy = judge.transcribe([np.zeros(0, np.float32), noise], 24_000)
    assert empty == "" and len(noisy.split()) <= 24


def test_an_english_only_judge_hears_no_language(judge, clips):
    (heard,) = judge.listen([clips[0][1]], 24_000)
    assert heard.text and heard.language is None and heard.language_probability is None


def test_the_language_that_the_judge_hears_is_the_one_that_transformers_finds(weights, clips):
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    folder = weights / "whisper_base"
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    mel = WhisperFeatureExtractor.from_pretrained(folder)(
        [resample(clips[0][1], 24_000, 16_000)], sampling_rate=16_000, return_tensors="pt"
    ).input_features
    with torch.inference_mode():
        token = int(model.detect_language(input_features=mel)[0])
    (heard,) = load_judge(str(folder), language="de").listen([clips[0][1]], 24_000)  # told another, it still hears it
    assert model.generation_config.lang_to_id[f"<|{heard.language}|>"] == token


def test_samples_that_are_no_numbers_are_refused(judge):
    with pytest.raises(MetricError, match=r"waveform 1 .* not numbers"):
        judge.transcribe([np.zeros(10, np.float32), np.array([np.nan], np.float32)], 24_000)


def test_a_folder_without_a_recogniser_is_refused_with_the_mend(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be loaded.*make weights"):
        load_judge(str(tmp_path))


def test_kept_frames_cover_the_speech_whole_and_stand_for_all_1500():
    kept = kept_frames(2.5)
    assert isinstance(kept, Kept) and int(kept.weight.sum()) == 1500
    whole = int((kept.weight == 1).sum())
    assert kept.frames[:whole].tolist() == list(range(whole)) and whole >= 2.5 * 50
    assert kept.frames.tolist() == sorted(set(kept.frames.tolist())) and len(kept_frames(40).frames) == 1500


def test_a_clip_of_thirty_seconds_that_whisper_never_ends_is_cut_where_its_decoder_has_no_more_places(
    judge, speech, monkeypatch
):
    endless = replace(judge._prompt, never=(*judge._prompt.never, judge._prompt.end))
    monkeypatch.setattr(judge, "_prompt", endless)
    (text,) = judge.transcribe([np.resize(speech, 30 * 24_000)], 24_000)
    assert len(text.split()) > 50
