"""Speech head parallel in the real house at a size of seconds: the preset's recipe, and an imported Mini-Omni2 as any model."""

import base64
import importlib.util
import json
from pathlib import Path

import pytest

from tests.omni_core.codecs.tiny_codecs import write_snac
from tests.omni_core.language_models import classes
from tests.omni_core.mini_omni import conftest as released
from tests.omni_core.test_component_facts import whisper

spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("tiny.py"))
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)

pytestmark = pytest.mark.timeout(900)
CONTEXT = 208
"""Positions: the longest question takes 150, so an answer that finds no end is a few seconds long."""


def write_language_model(name, folder):
    """A class of transformers with a context of CONTEXT positions."""
    config = classes.write(name, folder) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": CONTEXT}))
    return str(folder)


def write_mini_omni2(folder):
    """A released Mini-Omni2 of three layers, untied, with a vision adapter, for SNAC's 7 streams of 32 codes; imported."""
    from omni_core.mini_omni.checkpoint import import_mini_omni

    words = classes.tokenizer("qwen", classes.CHATML)
    text, audio = len(words) + 64, 32 + 64
    config = {**released.GOLDEN_CONFIG, "text_vocab_size": text, "audio_vocab_size": audio, "cat_audio_vocab_size": 7 * audio,
              "padded_vocab_size": text + 7 * audio, "block_size": CONTEXT, "vision_adapter_dim": 8}  # fmt: skip
    weights = released.random_weights(config)
    weights["lm_head.weight"][text + 6 * audio + 32] = 0  # the last stream's end is never likeliest: it always speaks
    source = released.write_released(folder / "released", config, weights)
    words.save_pretrained(source)
    return import_mini_omni(source, folder / "imported")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prefect_server):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def preset(folder):
    """The preset mini_omni with tiny folders in the place of hub ids, and a few steps."""
    from flows.presets import load_settings

    small = tiny.settings(folder)
    few = [f"train.parallel.{stage}.{name}={value}" for stage in ("alignment", "adaption", "multimodal")
           for name, value in (("steps", 2), ("batch", 4), ("micro_batch", 2))]  # fmt: skip
    (folder / "whisper").mkdir()
    (folder / "snac").mkdir()
    settings = load_settings("mini_omni", (
        f"components.language_model.weights={write_language_model('qwen2', folder / 'qwen2')}",
        f"components.encoder.weights={whisper(folder / 'whisper')}", "components.speech_head.adapter_width=0",
        f"components.codec.weights={write_snac(folder / 'snac')}", f"home={small.home}",
        "quantize.weight_quantizer=none", "stages_at_once=1", *few,
    ))  # fmt: skip
    slow = {"max_real_time_factor": 100.0, "max_time_to_first_audio_p95_ms": 1e5}
    return settings.model_copy(update={
        "ingest": small.ingest, "evaluate": small.evaluate, "compare": small.compare,
        "consistency": small.consistency, "benchmark": small.benchmark.model_copy(update=slow),
    })  # fmt: skip


@pytest.fixture(scope="module")
def imported(folder):
    return write_mini_omni2(folder)


def from_imported(preset, imported, **components):
    """The preset, started from the imported model; `components` are settings' groups, by name."""
    where = str(imported.folder)
    groups = {"language_model": {"name": "mini_omni", "weights": where}, "speech_head": {"weights": where}} | components
    parts = preset.components
    new = {name: getattr(parts, name).model_copy(update=values) for name, values in groups.items()}
    promote = preset.promote.model_copy(update={"registered_model": "imported"})
    return preset.model_copy(update={"components": parts.model_copy(update=new), "promote": promote})


def until_quantized(settings):
    """The flow up to the model that would be served, without what listens to it afterwards."""
    from prefect import flow

    from flows.retrain import two_branches
    from flows.training import train
    from tasks.ingest import ingest
    from tasks.quantize import quantize

    @flow(persist_result=False, task_runner=two_branches)
    def part(settings):
        manifest = ingest(settings.ingest, settings.home)
        trained = train(manifest, settings, {})  # warm starts of a champion are the talker's
        parts, home = settings.components, settings.home
        return trained, quantize(
            trained.checkpoints, trained.codec, manifest, parts, settings.quantize, trained.language_model, home
        )

    return part(settings)


def answer_of(settings, model):
    """What a stored model says to a question; also that its chunks are the whole."""
    import numpy as np

    from omni_core.speech_to_speech import SpeechToSpeech
    from omni_core.teacher import load_voice
    from tasks.home import store_of

    loaded, voice = SpeechToSpeech.load(store_of(settings.home).folder(model), 1), load_voice("hibari")
    question = voice.speak("Turn on light 4 in the hall."), voice.sample_rate_hz
    answer = loaded.answer(*question)
    chunks = [chunk for _, chunk in loaded.stream(*question)]
    assert np.array_equal(np.concatenate(chunks), answer.waveform)
    return answer, len(chunks), loaded


def test_the_preset_trains_three_stages_on_a_language_model_and_answers_in_chunks(preset):
    import numpy as np
    import torch

    from omni_core.speech_heads import parallel
    from tasks.home import store_of

    trained, model = until_quantized(preset)
    assert list(trained.journey) == ["fit codec", "train alignment", "train adaption", "train multimodal"]
    assert [made.facts["turns"] for made in trained.checkpoints.values()] == [15, 15, 15]
    assert trained.checkpoints["adaption"].inputs["before"] == trained.checkpoints["alignment"].digest
    head = parallel.load(store_of(preset.home).folder(trained.checkpoints["multimodal"]))
    assert (head.layout.num_streams, head.layout.codebook_size, head.config.encoder_width) == (7, 32, 32)
    answer, chunks, loaded = answer_of(preset, model)
    assert chunks > 1 and len(answer.waveform) > 0 and answer.time_to_first_audio_s < answer.total_s
    question = loaded.speaker.listen(torch.randn(100, 32, generator=torch.Generator().manual_seed(1)))
    codes = torch.stack([frame.codes for frame in loaded.speaker.answer(question)], 1)
    pieces = np.concatenate([chunk for _, chunk, *_ in loaded._stream(question)])
    np.testing.assert_allclose(pieces, loaded.codec.decode(codes[None])[0].numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def promoted(preset, imported):
    """Settings and outcome of the whole flow, from the imported model."""
    from flows.retrain import retrain

    settings = from_imported(preset, imported)
    return settings, retrain(settings)


def test_an_imported_model_is_retrained_evaluated_and_promoted(promoted):
    _, outcome = promoted
    assert outcome.promotion.facts["promoted"], outcome.verdict.facts["reasons"]
    assert outcome.latency.facts["answers"] == 3


def test_its_champion_answers_a_wav_as_any_other(promoted):
    from omni_core.audio import decode, encode_wav
    from omni_core.teacher import load_voice
    from tasks.registry import load_version

    settings, _ = promoted
    voice = load_voice("hibari")
    question = base64.b64encode(encode_wav(voice.speak("Turn on light 4 in the hall."), voice.sample_rate_hz)).decode()
    answers = load_version(settings.home, "imported", "@champion").predict({"audio": [question]})
    waveform, sample_rate_hz = decode(base64.b64decode(answers["audio"][0]))
    assert len(waveform) > 0 and sample_rate_hz == 24_000


def test_nothing_changed_nothing_is_planned_and_the_plan_says_what_becomes_of_the_vision_adapter(promoted):
    from tasks.plan import plan_of

    settings, _ = promoted
    plan = plan_of(settings)
    assert plan.stages_to_run == () and plan.champion == "compared with version 1, the champion"
    assert any("vision adapter (Mini-Omni2) is kept as it is" in note for note in plan.notes)


def test_retrained_it_goes_back_to_mini_omnis_own_format_with_its_vision_adapter(promoted, tmp_path):
    import torch

    from data_contracts.quantize import QuantizedModel
    from data_contracts.train import Checkpoint
    from omni_core.mini_omni.checkpoint import export_mini_omni
    from tasks.home import store_of

    settings, outcome = promoted
    store = store_of(settings.home)
    model = store.load(QuantizedModel, outcome.evaluation.inputs["model"])
    last = store.folder(store.load(Checkpoint, model.inputs["multimodal"]))
    export_mini_omni(last, tmp_path / "exported")
    found = torch.load(tmp_path / "exported" / "lit_model.pth", weights_only=True)
    before = torch.load(
        Path(settings.components.speech_head.weights).parent / "released" / "lit_model.pth", weights_only=True
    )
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in before.items()}
    assert torch.equal(found["vision_adapter.fc_1.weight"], before["vision_adapter.fc_1.weight"])
    assert not torch.equal(found["transformer.h.0.mlp.fc_1.weight"], before["transformer.h.0.mlp.fc_1.weight"])


SWAPS = {
    "language model": "through the map of",
    "codec": "the codec has 15 streams of 32 codes, the head had 7 of 32",
}


@pytest.mark.parametrize("part", SWAPS)
def test_a_part_of_an_imported_model_is_swapped(part, preset, imported, folder):
    from tasks.plan import plan_of

    if part == "codec":
        (folder / "snac_32khz").mkdir()
        groups = {"codec": {"weights": write_snac(folder / "snac_32khz", "32khz")}}
    else:
        weights = write_language_model("qwen2_5", folder / "qwen2_5")
        groups = {"language_model": {"name": "huggingface", "weights": weights}}
    settings = from_imported(preset, imported, **groups)
    plan_of(settings)
    trained, model = until_quantized(settings)
    answer, _, _ = answer_of(settings, model)
    assert answer.sample_rate_hz == (32_000 if part == "codec" else 24_000)
    facts = trained.checkpoints["alignment"].facts
    assert SWAPS[part] in " ".join(facts["notes"])
    if part == "language model":
        losses = {name: facts[f"start_loss_{name}"] for name in ("random", "warm")}
        assert facts["start_warm"] == (losses["warm"] < losses["random"])
