"""Everything about sound, tokens, models and statistics; imports neither Prefect nor MLflow."""

from omni_core.torchaudio_on_cpu import hide_extension_if_it_cannot_load

hide_extension_if_it_cannot_load()
