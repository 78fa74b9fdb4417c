"""Turns of speech and text enter, the losses of the parallel head and its three stages of training leave.

    stage                 trains            samples
    modality_alignment    adapters only     recognition, reading aloud (with a post-adapter: without one nothing speaks yet)
    adaption              language model    recognition, written question -> written answer
    multimodal            everything        heard or written question -> spoken or written answer, drawn a sample

Targets of an answer (. carries no loss), from the step that the prompt's last position predicts:

    text        w0 w1 E  .  .  .          stream 0    .  a0 a1 a2 E  .         stream 1    .  .  b0 b1 b2 E

Source: Mini-Omni, Xie and Wu 2024, section 3.4; steps and rates as its authors gave them in public threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from data_contracts.errors import SourceError
from omni_core import training_loop
from omni_core.mini_omni import prompts
from omni_core.mini_omni.prompts import Mode
from omni_core.precision import fast_dtype
from omni_core.progress import Progress, silent
from omni_core.speech_heads.parallel import ParallelHead
from omni_core.token_layout import ParallelLayout

NO_LOSS = -100
TEXT_WEIGHT, AUDIO_WEIGHT = 0.5, 0.5
"""As an open re-implementation weighs them; audio is the mean over streams."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer; what a source does not have is None, and then no mode that needs it is drawn."""

    question_tokens: list[int]
    answer_tokens: list[int]
    question_features: Tensor | None = None
    """(frames, encoder_width)"""
    answer_codes: Tensor | None = None
    """(num_streams, frames), undelayed"""

    def allows(self, mode: Mode) -> bool:
        """The turn has what the mode hears and says."""
        return (not mode.hears or self.question_features is not None) and (
            not mode.speaks or self.answer_codes is not None
        )

    def steps(self, layout: ParallelLayout) -> int:
        """Of its longest example, in any mode that it allows."""
        heard = -1 if self.question_features is None else len(self.question_features)
        spoken = 0 if self.answer_codes is None else self.answer_codes.shape[1] + layout.max_delay
        asked, said = len(self.question_tokens), max(spoken, len(self.answer_tokens))
        read = max(asked, len(self.answer_tokens)) if spoken else asked  # aloud, the answer is the question
        hearing = heard + max(said, asked) if heard >= 0 else 0
        return 3 + max(hearing, read + said)


@dataclass(frozen=True)
class Example:
    """tokens and targets (num_streams + 1, steps), text last; targets are ids within their stream, or NO_LOSS."""

    tokens: Tensor
    targets: Tensor
    features: Tensor | None


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right, which causal attention never sees."""

    tokens: Tensor
    targets: Tensor
    features: Tensor | None
    frame_counts: Tensor


@dataclass(frozen=True)
class Stage:
    """What is trained, on which samples; steps and rates are those of the released model (8 GPUs, batch 192)."""

    name: str
    trains_adapters: bool
    trains_language_model: bool
    modes: tuple[Mode, ...]
    reads_aloud: bool
    """A written question is the answer's own words."""
    steps: int
    learning_rate: float
    """Peak, after a warm-up."""
    final_learning_rate: float = 4e-6
    """A cosine takes it down to it."""


STAGES = (
    Stage("modality_alignment", True, False, (Mode.RECOGNITION, Mode.TEXT_TO_AUDIO), True, 15_000, 1e-3),
    Stage("adaption", False, True, (Mode.RECOGNITION, Mode.TEXT_TO_TEXT), False, 25_000, 4e-4),
    Stage("multimodal", True, True,
          (Mode.AUDIO_TO_AUDIO, Mode.AUDIO_TO_TEXT, Mode.TEXT_TO_AUDIO, Mode.TEXT_TO_TEXT), False, 55_000, 4e-4),
)  # fmt: skip


def example(turn: Turn, mode: Mode, layout: ParallelLayout) -> Example:
    """One turn in one mode, inputs and targets shifted against one another by a step."""
    if mode.hears:
        assert turn.question_features is not None, "asked for by Turn.allows"
        prompt = prompts.heard(mode, layout, len(turn.question_features)).tokens[0]
    else:
        prompt = prompts.written(mode, layout, turn.question_tokens).tokens[0]
    said = answer_ids(turn, mode, layout)
    tokens = torch.cat([prompt, torch.cat([layout.tokens(said[:-1]), said[-1:]])], 1)[:, :-1]
    pads = torch.tensor([*[layout.pad] * layout.num_streams, layout.text_pad])[:, None]
    targets = torch.full_like(tokens, NO_LOSS)
    targets[:, prompt.shape[1] - 1 :] = torch.where(said == pads, NO_LOSS, said)
    return Example(tokens, targets, turn.question_features if mode.hears else None)


def answer_ids(turn: Turn, mode: Mode, layout: ParallelLayout) -> Tensor:
    """(num_streams + 1, steps): ids within each audio stream, all pad in an answer of text alone, over the text."""
    words = turn.question_tokens if mode is Mode.RECOGNITION else turn.answer_tokens
    text = torch.tensor([*words, layout.text_end])
    audio = torch.full((layout.num_streams, 0), layout.pad)
    if mode.speaks:
        assert turn.answer_codes is not None, "asked for by Turn.allows"
        audio = layout.delay_to_end(turn.answer_codes[None])[0]
    steps = max(audio.shape[1], len(text))
    audio = F.pad(audio, (0, steps - audio.shape[1]), value=layout.pad)
    return torch.cat([audio, F.pad(text, (0, steps - len(text)), value=layout.text_pad)[None]])


def collate(examples: Sequence[Example]) -> Batch:
    """Pad to the longest. The id that pads inputs does not matter: no loss is taken there, and nothing looks ahead."""

    def pad(rows: list[Tensor], value: int) -> Tensor:
        return pad_sequence([row.T for row in rows], batch_first=True, padding_value=value).transpose(1, 2)

    heard = [e.features for e in examples if e.features is not None]
    counts = torch.tensor([0 if e.features is None else len(e.features) for e in examples])
    features = None
    if heard:
        silent_row = heard[0].new_zeros(0, heard[0].shape[1])
        features = pad_sequence([silent_row if e.features is None else e.features for e in examples], batch_first=True)
    return Batch(pad([e.tokens for e in examples], 0), pad([e.targets for e in examples], NO_LOSS), features, counts)


def losses(head: ParallelHead, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy of the next ids: `loss`, which is minimised, `text` and `audio` (the mean over streams).

    Logits are computed where a loss is taken, not everywhere: the text's have 152 000 columns. What carries no loss in
    the whole batch counts as 0.
    """
    hidden = head.read(batch.tokens, batch.features, batch.frame_counts)
    targets = batch.targets.to(hidden.device)
    text_targets, audio_targets = targets[:, -1], targets[:, :-1].transpose(1, 2)
    has_text, has_audio = text_targets != NO_LOSS, (audio_targets != NO_LOSS).any(-1)
    text, audio = hidden.new_zeros(()), hidden.new_zeros(())
    if has_text.any():
        text = F.cross_entropy(head.text_logits(hidden[has_text]), text_targets[has_text])
    if has_audio.any():
        logits, wanted = head.audio_logits(head.deepen(hidden)[has_audio]), audio_targets[has_audio]
        streams = range(head.layout.num_streams)
        audio = torch.stack([F.cross_entropy(logits[:, k], wanted[:, k], ignore_index=NO_LOSS) for k in streams]).mean()
    return {"loss": TEXT_WEIGHT * text + AUDIO_WEIGHT * audio, "text": text, "audio": audio}


def prepare(head: ParallelHead, stage: Stage) -> tuple[Mode, ...]:
    """Set what the stage trains; returns the modes that teach it something.

    Aligning adapters of a head without a post-adapter leaves out speech: its audio comes from the frozen part.
    """
    head.requires_grad_(False)
    after = [part for part in (head.post_adapter, *_after_post_adapter(head)) if part is not None]
    for part in (head.speech_adapter, *after):
        part.requires_grad_(stage.trains_adapters)
    for part in (head.trunk, head.norm, head.lm_head):
        part.requires_grad_(stage.trains_language_model)
    nothing_speaks = not stage.trains_language_model and head.post_adapter is None
    return tuple(mode for mode in stage.modes if not (nothing_speaks and mode.speaks))


def _after_post_adapter(head: ParallelHead) -> tuple[nn.Module, ...]:
    return () if head.post_adapter is None else (head.post_norm, head.post_head)


def able(turns: Sequence[Turn], modes: Sequence[Mode]) -> dict[Mode, list[Turn]]:
    """Mode -> turns that allow it. Raises SourceError when a mode has none."""
    found = {mode: [turn for turn in turns if turn.allows(mode)] for mode in modes}
    for mode, allowing in found.items():
        if not allowing:
            raise SourceError(
                f"no turn has what the mode {mode} needs: {'speech features of its question' if mode.hears else 'codes of its answer'}; add such data or leave the mode out"
            )
    return found


def draw(
    turns_of: dict[Mode, list[Turn]], stage: Stage, size: int, layout: ParallelLayout, seed: int, step: int
) -> list[Example]:
    """The batch of one step: a mode each, equally often, then a turn that allows it."""
    generator, modes = training_loop.step_generator(seed, step), list(turns_of)
    rows = []
    for _ in range(size):
        mode = modes[int(torch.randint(len(modes), (), generator=generator))]
        turn = turns_of[mode][int(torch.randint(len(turns_of[mode]), (), generator=generator))]
        if stage.reads_aloud and mode is Mode.TEXT_TO_AUDIO:
            turn = replace(turn, question_tokens=turn.answer_tokens)
        rows.append(example(turn, mode, layout))
    return rows


def summed_losses(head: ParallelHead, examples: Sequence[Example], micro_batch: int) -> dict[str, Tensor]:
    """`losses` of a batch, `micro_batch` examples at a time: a micro-batch counts by its share of the examples.

    Gradients of all but the last are in the parameters already; `loss` carries those of the last.
    """
    total: dict[str, Tensor] = {}
    for at in range(0, len(examples), micro_batch):
        part = examples[at : at + micro_batch]
        with _multiplied_fast(head):
            found = {name: loss * len(part) / len(examples) for name, loss in losses(head, collate(part)).items()}
        if at + micro_batch < len(examples):
            found["loss"].backward()
            found = {name: loss.detach() for name, loss in found.items()}
        total = {name: loss + total.get(name, 0) for name, loss in found.items()}
    return total


def _multiplied_fast(head: ParallelHead) -> torch.autocast:
    """Weights stay in float32; matrices are multiplied in bfloat16 where the machine can."""
    device = next(head.parameters()).device.type
    return torch.autocast(device, torch.bfloat16, enabled=fast_dtype(device) == torch.bfloat16)


@torch.no_grad()
def validate(head: ParallelHead, turns: Sequence[Turn], stage: Stage, micro_batch: int) -> dict[str, float]:
    """Mean losses over batches of one mode, on turns that allow it; empty when none does."""
    found: list[dict[str, Tensor]] = []
    for mode in prepare(head, stage):
        examples = [example(turn, mode, head.layout) for turn in turns if turn.allows(mode)]
        parts = [examples[at : at + micro_batch] for at in range(0, len(examples), micro_batch)]
        found += [losses(head, collate(part)) for part in parts]
    head.requires_grad_(False)
    return {f"validation_{name}": sum(float(f[name]) for f in found) / len(found) for name in (found or [{}])[0]}


def train_stage(
    head: ParallelHead,
    turns: Sequence[Turn],
    stage: Stage,
    *,
    steps: int,
    batch: int,
    seed: int,
    work: Path,
    checkpoint_every: int,
    curve: training_loop.Curve,
    progress: Progress = silent,
    micro_batch: int | None = None,
) -> None:
    """Train one stage in place; killed, it goes on from its last checkpoint in `work`."""
    turns_of = able(turns, prepare(head, stage))

    def loss_of(step: int) -> dict[str, Tensor]:
        examples = draw(turns_of, stage, batch, head.layout, seed, step)
        return summed_losses(head, examples, micro_batch or batch)

    training_loop.run(
        stage.name,
        head,
        loss_of,
        training_loop.Schedule(steps, stage.learning_rate, seed, checkpoint_every, stage.final_learning_rate),
        work,
        curve,
        progress,
    )
    head.requires_grad_(False)
