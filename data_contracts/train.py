"""What the training stages take and return: settings of `listen`, `speak` and of the recipe of `parallel`, and the Checkpoint."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from data_contracts.base import Artifact, Settings


class ListenSettings(Settings):
    """The adapter learns to hand the question to the frozen language model."""

    alignment_steps: int = Field(260, ge=1)
    """Steps of the first phase: CTC to the question's tokens, the language model is not run."""
    alignment_batch: int = Field(32, ge=1)
    """Questions a step of the first phase."""
    answer_steps: int = Field(130, ge=0)
    """Steps of the second phase: cross-entropy of the answer through the frozen language model."""
    answer_batch: int = Field(16, ge=1)
    """Turns a step of the second phase."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of the first phase; one cycle (Smith and Topin 2017)."""
    answer_learning_rate: float = Field(5e-3, gt=0)
    """Peak learning rate of the second phase."""
    prefix_examples: int = Field(10, ge=0, le=100)
    """Training turns, drawn topic by topic, that the prefix starts from (few-shot); 0 starts from the system prompt."""
    start: str = Field("auto", min_length=1)
    """What adapter and prefix start from, if that beats random weights on validation: auto (the champion, when there is one), champion (an error when there is none), random, or the folder of a served model."""
    text_path_steps: int = Field(0, ge=0)
    """Steps of a third phase: the adapter's last layer learns, by KL divergence, to get the answer that the language model gives to the question's text. Off: it gained nothing where it was measured (docs/warm_start.md)."""
    text_path_learning_rate: float = Field(1e-5, gt=0)
    """Peak learning rate of the third phase; 1e-3 made answers worse (docs/warm_start.md)."""
    text_path_end_weight: float = Field(1.0, ge=0, le=100)
    """Weight, in the third phase, of the divergence at the end of the turn; that at all other tokens together has 1."""
    checkpoint_every_steps: int = Field(25, ge=1)
    """Interrupted training resumes from the last of these."""
    seed: int = 0
    """Seed of initial weights and of the order of the data."""


class SpeakSettings(Settings):
    """The speech head learns to speak the answer."""

    steps: int = Field(600, ge=1)
    """Training steps."""
    warm_steps: int = Field(0, ge=0)
    """Training steps of a head that starts from another one's weights; 0: as many as from random weights."""
    batch: int = Field(32, ge=1)
    """Answers a step."""
    decoded: int = Field(16, ge=1)
    """Answers of a step that go through the decoder as well; the others teach pronunciation and prosody, at a third of the cost."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate, cosine decay after warm-up."""
    code_dropout: float = Field(0.4, ge=0, le=1)
    """Share of the previous codes that are replaced at random, so that the head trusts its conditioning."""
    start: str = Field("auto", min_length=1)
    """What the head starts from, if that beats random weights on validation: auto (the champion's head, when language and shape are the same; after a swap of the codec without what knows its codes), champion (an error when that does not fit), random, or the folder of a served model."""
    checkpoint_every_steps: int = Field(50, ge=1)
    """Interrupted training resumes from the last of these."""
    seed: int = 0
    """Seed of initial weights and of the order of the data."""

    def steps_from(self, is_warm: bool) -> int:
        """Training steps from another head's weights or from random ones."""
        return self.warm_steps if is_warm and self.warm_steps else self.steps


class RecipeStageSettings(Settings):
    """One stage of a recipe that trains the language model too."""

    steps: int = Field(100, ge=0)
    """Training steps; 0 leaves the stage out."""
    batch: int = Field(16, ge=1)
    """Turns a step."""
    micro_batch: int = Field(16, ge=1)
    """Turns computed at once; gradients are summed up to a batch, so that it may be larger than the memory."""
    learning_rate: float = Field(4e-4, gt=0)
    """Peak learning rate; one cycle."""
    checkpoint_every_steps: int = Field(50, ge=1)
    """Interrupted training resumes from the last of these."""
    seed: int = 0
    """Seed of new weights and of the order of the data."""


class RecipeSettings(Settings):
    """Mini-Omni's three stages (omni_core/mini_omni/recipe.py); its own numbers are in the preset mini_omni."""

    alignment: RecipeStageSettings = RecipeStageSettings(learning_rate=1e-3)
    """Adapters only: questions are written down; with a post-adapter, answers are read aloud."""
    adaption: RecipeStageSettings = RecipeStageSettings()
    """Language model only: questions heard are written down, questions read are answered in writing."""
    multimodal: RecipeStageSettings = RecipeStageSettings(steps=200)
    """Everything: questions heard or read are answered in speech and writing."""
    start: Literal["auto", "champion", "random"] = "auto"
    """What a head without speech_head.weights starts from, if that beats random weights on validation: auto (the champion's head, when there is one of this shape), champion (an error when there is none), or random."""

    @property
    def stages(self) -> dict[str, RecipeStageSettings]:
        """Name -> settings, in order."""
        return {"alignment": self.alignment, "adaption": self.adaption, "multimodal": self.multimodal}


class TrainSettings(Settings):
    """The training stages, in order: listen and speak beside a frozen language model, or parallel with it."""

    listen: ListenSettings = ListenSettings()
    """Of talker, first stage."""
    speak: SpeakSettings = SpeakSettings()
    """Of talker, second stage."""
    parallel: RecipeSettings = RecipeSettings()
    """Of speech head parallel."""


class FittedCodec(Artifact):
    """A codec as a folder: config.json and safetensors. facts: sample_rate_hz, frame_rate_hz, num_codebooks, codebook_size."""

    kind: ClassVar[str] = "codec"


class Aligner(Artifact):
    """A phoneme recogniser for forced alignment, fitted to the voice. facts: loss."""

    kind: ClassVar[str] = "aligner"


class Checkpoint(Artifact):
    """Weights of one trained stage: model.safetensors, config.json, curve.parquet. facts: steps, losses, seconds."""

    kind: ClassVar[str] = "checkpoint"
