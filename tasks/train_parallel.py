"""Features and codes enter, a parallel head leaves, one stage of its recipe further; killed, it goes on from its last checkpoint."""

from __future__ import annotations

from data_contracts.components import LanguageModelSettings, SpeechHeadSettings
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint, FittedCodec, RecipeStageSettings
from tasks.home import local_folder, store_of
from tasks.progress import shown
from tasks.stage import stage


@stage("omni_core.mini_omni.retraining", alone=True)
def train_recipe(
    recipe_stage: str,
    before: Checkpoint | None,
    manifest: Manifest,
    questions: list[FeatureShard],
    codes: list[FeatureShard],
    codec: FittedCodec,
    language_model: LanguageModelSettings,
    speech_head: SpeechHeadSettings,
    settings: RecipeStageSettings,
    start: str,
    home: str,
) -> Checkpoint:
    """A stage of Mini-Omni's recipe, by its name; `start` is the plan's, of the first one (see Plan.starts)."""
    from omni_core.mini_omni import retraining

    with shown(f"train {recipe_stage.replace('_', ' ')}") as progress:
        return retraining.train_stage(
            store_of(home),
            recipe_stage,
            before,
            manifest,
            questions,
            codes,
            codec,
            language_model,
            speech_head,
            settings,
            start,
            local_folder(home),
            progress,
        )


train_alignment = train_recipe.with_options(name="train alignment")
train_adaption = train_recipe.with_options(name="train adaption")
train_multimodal = train_recipe.with_options(name="train multimodal")
