"""The recipe: targets as drawn, losses as computed in full, stages that train what they say, speech learned by heart."""

import pytest
import torch
import torch.nn.functional as F

from data_contracts.errors import SourceError
from omni_core.mini_omni import prompts, recipe
from omni_core.mini_omni.decoding import answer, frames, written_tokens
from omni_core.mini_omni.prompts import Mode
from omni_core.mini_omni.recipe import NO_LOSS, STAGES, Turn
from omni_core.speech_heads.parallel import ParallelConfig, ParallelHead
from omni_core.token_layout import ParallelLayout
from omni_core.training_loop import Curve

LAYOUT = ParallelLayout(num_streams=3, codebook_size=10, delays=(1, 2, 3), text_codes=30, num_specials=6)
TRUNK = {
    "model_type": "qwen2", "vocab_size": LAYOUT.total_size, "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


def small_head(**changes):
    torch.manual_seed(0)
    return ParallelHead(ParallelConfig(LAYOUT, TRUNK, 8, adapter_width=16, **changes))


def a_turn(seed=0, frames=4):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(5 + seed, 8, generator=generator)
    codes = torch.randint(10, (3, frames), generator=generator)
    words = torch.randint(30, (5,), generator=generator).tolist()
    return Turn(words[:2], words[2:], features, codes)


def test_targets_of_a_spoken_answer_are_what_the_picture_shows():
    turn = Turn([7], [8, 9], None, torch.tensor([[1, 2], [3, 4], [5, 6]]))
    made = recipe.example(turn, Mode.TEXT_TO_AUDIO, LAYOUT)
    prompt, end, x = 4, LAYOUT.end, NO_LOSS  # input 7 end answer
    assert made.targets[:, prompt - 1 :].tolist() == [
        [x, 1, 2, end, x, x],
        [x, x, 3, 4, end, x],
        [x, x, x, 5, 6, end],
        [8, 9, LAYOUT.text_end, x, x, x],
    ]
    assert (made.targets[:, : prompt - 1] == x).all() and made.features is None


def test_inputs_are_the_prompt_and_the_answer_one_step_later():
    turn = a_turn()
    made = recipe.example(turn, Mode.AUDIO_TO_AUDIO, LAYOUT)
    prompt = prompts.heard(Mode.AUDIO_TO_AUDIO, LAYOUT, 5).tokens[0]
    assert torch.equal(made.tokens[:, : prompt.shape[1]], prompt)
    audio, targets = LAYOUT.ids(made.tokens[:3]), made.targets[:3]
    said = targets[:, prompt.shape[1] - 1 : -1]
    assert torch.equal(audio[:, prompt.shape[1] :][said != NO_LOSS], said[said != NO_LOSS])
    assert (audio[:, prompt.shape[1] :][said == NO_LOSS] == LAYOUT.pad).all()


@pytest.mark.parametrize("mode", [Mode.AUDIO_TO_TEXT, Mode.RECOGNITION, Mode.TEXT_TO_TEXT])
def test_an_answer_of_text_alone_pads_the_audio_without_loss(mode):
    turn = a_turn()
    made = recipe.example(turn, mode, LAYOUT)
    words = turn.question_tokens if mode is Mode.RECOGNITION else turn.answer_tokens
    assert (made.targets[:3] == NO_LOSS).all()
    assert made.targets[3, -len(words) - 1 :].tolist() == [*words, LAYOUT.text_end]
    assert (LAYOUT.ids(made.tokens[:3])[:, -len(words) :] == LAYOUT.pad).all()


@pytest.mark.parametrize("post_adapter_layers", [0, 1])
def test_losses_are_those_of_all_logits(post_adapter_layers):
    head = small_head(post_adapter_layers=post_adapter_layers)
    batch = recipe.collate([recipe.example(a_turn(1), Mode.AUDIO_TO_AUDIO, LAYOUT), recipe.example(a_turn(2), Mode.TEXT_TO_TEXT, LAYOUT)])  # fmt: skip
    logits, found = head(batch.tokens, batch.features, batch.frame_counts), recipe.losses(head, batch)
    text = F.cross_entropy(logits.text.transpose(1, 2), batch.targets[:, 3])
    audio = sum(F.cross_entropy(logits.audio[:, k].transpose(1, 2), batch.targets[:, k]) for k in range(3)) / 3
    torch.testing.assert_close(found["text"], text)
    torch.testing.assert_close(found["audio"], audio)
    torch.testing.assert_close(found["loss"], 0.5 * text + 0.5 * audio)


def test_a_batch_of_text_alone_has_no_audio_loss():
    batch = recipe.collate([recipe.example(a_turn(), Mode.RECOGNITION, LAYOUT)])
    found = recipe.losses(small_head(), batch)
    assert found["audio"] == 0 and found["loss"] == 0.5 * found["text"]


def test_padding_a_batch_changes_no_logits():
    head = small_head().eval()
    examples = [recipe.example(a_turn(1), Mode.AUDIO_TO_AUDIO, LAYOUT), recipe.example(a_turn(2), Mode.TEXT_TO_AUDIO, LAYOUT)]  # fmt: skip
    batch = recipe.collate(examples)
    together = head(batch.tokens, batch.features, batch.frame_counts)
    for row, alone in enumerate(examples):
        features = None if alone.features is None else alone.features[None]
        single, steps = head(alone.tokens[None], features), alone.tokens.shape[1]
        torch.testing.assert_close(together.text[row, :steps], single.text[0])
        torch.testing.assert_close(together.audio[row, :, :steps], single.audio[0])


def names(head):
    return {name.split(".")[0] for name, parameter in head.named_parameters() if parameter.requires_grad}


def test_stages_train_what_they_say():
    head = small_head(post_adapter_layers=1, vision_width=4)
    adapters, thinks = {"speech_adapter", "post_adapter", "post_norm", "post_head"}, {"trunk", "norm", "lm_head"}
    expected = [adapters, thinks, adapters | thinks]
    for stage, parts in zip(STAGES, expected, strict=True):
        assert recipe.prepare(head, stage) == stage.modes
        assert names(head) == parts


def test_without_a_post_adapter_aligning_does_not_speak():
    assert recipe.prepare(small_head(), STAGES[0]) == (Mode.RECOGNITION,)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_lowers_its_loss_and_leaves_the_rest_alone(stage, tmp_path):
    head, curve = small_head(post_adapter_layers=1), Curve()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    recipe.prepare(head, stage)
    trained = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    turns = [a_turn(seed) for seed in range(3)]
    recipe.train_stage(head, turns, stage, steps=40, batch=8, seed=1, work=tmp_path, checkpoint_every=100, curve=curve)
    last = torch.load(tmp_path / f"{stage.name}.pt", weights_only=True)["optimizer"]["param_groups"][0]["lr"]
    assert last == pytest.approx(4e-6)
    values = [value for _, name, value in curve.rows if name == f"{stage.name}_loss"]
    assert sum(values[-5:]) < 0.9 * sum(values[:5])
    changed = {name for name, value in head.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and changed <= trained
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in trained}


def test_reading_aloud_asks_with_the_words_of_the_answer():
    turn = a_turn()
    batch = recipe.collate(recipe.draw({Mode.TEXT_TO_AUDIO: [turn]}, STAGES[0], 1, LAYOUT, seed=0, step=0))
    assert batch.tokens[0, 3, 1 : 1 + len(turn.answer_tokens)].tolist() == turn.answer_tokens


def test_modes_are_drawn_equally_often():
    turns = {mode: [a_turn()] for mode in (Mode.RECOGNITION, Mode.TEXT_TO_TEXT)}
    batch = recipe.collate(recipe.draw(turns, STAGES[1], 400, LAYOUT, 0, 0))
    assert 150 < (batch.frame_counts > 0).sum() < 250


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_small_batches_sum_to_the_gradient_of_their_shares(micro_batch, monkeypatch):
    monkeypatch.setattr(recipe, "fast_dtype", lambda device: torch.float32)
    head = small_head()
    examples = [recipe.example(a_turn(seed), Mode.AUDIO_TO_AUDIO, LAYOUT) for seed in range(3)]  # of equal answers
    whole = recipe.losses(head, recipe.collate(examples))
    whole["loss"].backward()
    wanted = [p.grad.clone() for p in head.parameters() if p.grad is not None]
    head.zero_grad()
    found = recipe.summed_losses(head, examples, micro_batch)
    found["loss"].backward()
    torch.testing.assert_close({k: v.item() for k, v in found.items()}, {k: v.item() for k, v in whole.items()})
    for a, b in zip((p.grad for p in head.parameters() if p.grad is not None), wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_the_longest_example_of_a_turn_is_known_before():
    for turn in (
        a_turn(),
        a_turn(2, frames=9),
        Turn(list(range(20)), [1], None, None),
        Turn([1], list(range(20)), None, None),
    ):
        longest = max(
            recipe.example(turn, mode, LAYOUT).tokens.shape[1]
            for mode in Mode
            if turn.allows(mode) and mode is not Mode.AUDIO_TO_AUDIO_PARALLEL
        )
        assert longest <= turn.steps(LAYOUT) <= longest + 1


def test_turns_without_what_a_mode_needs_are_named():
    with pytest.raises(SourceError, match="the mode text_to_audio needs: codes of its answer"):
        recipe.able([Turn([1], [2], torch.randn(3, 8), None)], [Mode.RECOGNITION, Mode.TEXT_TO_AUDIO])


@pytest.mark.parametrize("post_adapter_layers", [0, 1])
def test_a_turn_learned_by_heart_is_answered_in_every_mode(post_adapter_layers):
    """Training and decoding agree on prompts, delays, shifts and ends: what is learned comes out, and then it stops."""
    head, turn = small_head(post_adapter_layers=post_adapter_layers), a_turn()
    modes = [mode for mode in Mode if mode is not Mode.AUDIO_TO_AUDIO_PARALLEL]
    batch = recipe.collate([recipe.example(turn, mode, LAYOUT) for mode in modes])
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        loss = recipe.losses(head, batch)["loss"]
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    for mode in Mode:
        prompt = prompts.heard(mode, LAYOUT, 5) if mode.hears else prompts.written(mode, LAYOUT, turn.question_tokens)
        said = answer(head, prompt, turn.question_features[None] if mode.hears else None, pads_forced=True)
        words = turn.question_tokens if mode is Mode.RECOGNITION else turn.answer_tokens
        assert written_tokens(said[-1], LAYOUT) == words, mode
        if mode.speaks:
            assert torch.equal(torch.stack(list(frames(said.T, LAYOUT)), 1), turn.answer_codes), mode
