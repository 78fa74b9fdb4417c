"""Counts are those of the modules; constants that stand for another module's are that module's."""

from pathlib import Path

import pytest
import torch

from data_contracts.components import LanguageModelSettings
from data_contracts.retrain import RetrainSettings
from omni_core import alignment, code_prior, component_facts, estimates, plan_parallel
from omni_core.adapter import Adapter, AdapterConfig
from omni_core.component_facts import CodecFacts, EncoderFacts, language_model_facts
from omni_core.languages import en
from omni_core.mini_omni import served
from omni_core.plan_facts import Facts
from omni_core.prefix import TunedPrefix
from omni_core.source_texts import SourceTexts
from omni_core.speech_heads import _talker_served
from omni_core.speech_heads.talker import Talker, TalkerConfig
from omni_core.token_layout import MINI_OMNI
from tests.omni_core.language_models import classes


def size(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("feature_width", "rate", "model_width", "tokens"), [(384, 50.0, 576, 90), (80, 100.0, 64, 7), (512, 12.5, 32, 300)]
)
def test_the_adapter_has_as_many_parameters_as_said(feature_width, rate, model_width, tokens):
    adapter = Adapter(
        AdapterConfig(feature_width, rate, model_width, tuple(range(tokens))), torch.zeros(tokens, model_width)
    )
    assert size(adapter) == estimates.adapter_parameters(feature_width, rate, model_width, tokens)


@pytest.mark.parametrize(
    ("width", "layers", "states", "codebooks", "codes", "latent"),
    [(256, 4, 576, 8, 512, 168), (32, 1, 64, 2, 16, 24), (64, 3, 48, 7, 100, 192)],
)
def test_the_talker_has_as_many_parameters_as_said(width, layers, states, codebooks, codes, latent):
    pack, codec = en.load(), CodecFacts(22_050, 12.3, codebooks, codes, latent, "", 0)
    shape = TalkerConfig(
        pack.num_bases, pack.num_stresses, states, codebooks, codes, 12.3, 43.0, latent, width, layers, 2
    )
    assert size(Talker(shape)) == estimates.talker_parameters(width, layers, states, codec)


def test_constants_of_other_modules_are_theirs():
    shape = AdapterConfig(1, 50.0, 1, ())
    assert (shape.width, shape.num_layers, shape.stacked_rate_hz) == (
        estimates.ADAPTER_WIDTH, estimates.ADAPTER_LAYERS, estimates.ADAPTER_RATE_HZ)  # fmt: skip
    assert component_facts.MAX_LATENT_WIDTH == code_prior.MAX_LATENT_WIDTH
    assert _talker_served.MAX_ANSWER_TOKENS == estimates.MAX_ANSWER_TOKENS
    assert served.MAX_ANSWER_S == estimates.MAX_PARALLEL_ANSWER_S
    assert MINI_OMNI.num_specials == estimates.NUM_SPECIALS
    talker = Talker(TalkerConfig(3, 1, 8, 1, 4, 12.0, alignment.ALIGNER_FRAME_RATE_HZ, 4, 8, 1, 1))
    assert talker.decoder.config.max_position_embeddings == estimates.MAX_TALKER_STEPS
    assert (en.load().num_bases, en.load().num_stresses) == (estimates.NUM_BASES, estimates.NUM_STRESSES)


@pytest.mark.parametrize("name", ["qwen2", "qwen2_5", "gemma3"])
@pytest.mark.parametrize("layers", [0, 2])
def test_the_parallel_head_has_as_many_parameters_as_said(name, layers, tmp_path):
    from transformers import AutoModelForCausalLM

    from omni_core.mini_omni.starting_point import layout_on, on_language_model

    facts = language_model_facts(LanguageModelSettings(weights=str(classes.write(name, tmp_path))), tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    head = on_language_model(model, layout_on(model, 3, 10), 8, torch.Generator(), layers, 16)
    said = estimates.parallel_parameters(facts, CodecFacts(24_000, 12.3, 3, 10, 4, "", 0), layers)
    assert size(head) == facts.parameters + 16 * (2 * 8 + facts.width) + sum(said.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True, "post_adapter": True, "post_adapter_layers": 2},
        {"asr_adapter": "mlp", "padded_vocab_size": 64 + 40 + 7 * 88 + 5},
    ],
)
def test_an_imported_head_has_as_many_parameters_as_planned(changes, tmp_path):
    from omni_core.mini_omni.checkpoint import import_mini_omni
    from omni_core.speech_heads import parallel
    from tests.omni_core.mini_omni import conftest as released

    config = {**released.GOLDEN_CONFIG, **released.SMALL_VOCABULARY, "block_size": 256, **changes}
    source = released.write_released(tmp_path / "released", config, released.random_weights(config))
    ours = str(import_mini_omni(source, tmp_path / "ours").folder)
    parts = {
        "language_model": {"name": "mini_omni", "weights": ours},
        "speech_head": {"name": "parallel", "weights": ours},
    }
    settings = RetrainSettings(components=parts)
    facts = Facts(
        language_model_facts(settings.components.language_model, tmp_path), EncoderFacts(32, 16_000, 50.0, 80, 30.0, 0),
        CodecFacts(24_000, 11.7, 7, 24, 4, "", 0), None, SourceTexts(), [], [], plan_parallel.head_config(settings, tmp_path),
    )  # fmt: skip
    assert size(parallel.load(Path(ours))) == sum(plan_parallel.trained_parameters(settings, facts).values())
    longest, bound = plan_parallel.longest_answer_s(settings, facts)
    heard = 50 * 40 / estimates.CHARACTERS_A_SECOND  # without texts a question has 40 characters
    assert 3 + heard + 11.7 * longest + 7 + 1 == pytest.approx(256) and bound == "the language model's context"


@pytest.mark.parametrize("name", ["qwen3", "gpt2"])
def test_the_prefix_has_as_many_parameters_as_said(name, tmp_path):
    from transformers import AutoModelForCausalLM

    from omni_core.prefix import prefix_of_tokens

    model = AutoModelForCausalLM.from_pretrained(classes.write(name, tmp_path))
    facts = language_model_facts(LanguageModelSettings(weights=str(tmp_path)), tmp_path)
    prefix: TunedPrefix = prefix_of_tokens(model, [1, 2, 3, 4, 5])
    assert size(prefix) == estimates.prefix_parameters(facts, 5)


def test_twice_the_work_takes_twice_the_time_and_two_threads_less():
    codec, lengths = CodecFacts(22_050, 12.3, 8, 512, 168, "", 0), estimates.Lengths(2.0, 3.0, 2.4, 27)
    once, twice = (estimates.speak_flops(9_000_000, codec, lengths, batch, batch) for batch in (16, 32))
    assert estimates.seconds("speak", twice, 1) == pytest.approx(2 * estimates.seconds("speak", once, 1))
    assert 1.5 < estimates.seconds("speak", once, 1) / estimates.seconds("speak", once, 2) < 2
