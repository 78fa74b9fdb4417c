"""The newest warm-started talker's data enter, validation losses of both starts leave: what a swap of the codec costs.

.venv/bin/python benchmarks/warm_talker.py --home var [--steps 250 600]     # after `make demo`; about 0.4 s a step and start

Each line is a training of its own, its rate falling to zero at its last step.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

import omni_core  # noqa: F401 first of all: it makes torchaudio importable beside a CPU torch
from data_contracts.base import Artifact
from data_contracts.components import CodecSettings, SpeechHeadSettings
from data_contracts.features import FeatureShard
from data_contracts.quantize import QuantizedModel
from data_contracts.train import Checkpoint, FittedCodec, SpeakSettings
from omni_core import train
from omni_core.store import ArtifactStore

SHOWN = ("loss", "codes", "latent", "duration", "prosody")


def newest(store: ArtifactStore) -> Checkpoint:
    """The talker trained last of those that had a start."""
    cards = sorted(Path(store.root).glob("checkpoint/*/card.json"), key=lambda path: path.stat().st_mtime)
    found = [store.load(Checkpoint, card.parent.name) for card in cards]
    talkers = [one for one in found if one.facts["stage"] == "speak" and "start" in one.inputs]
    if not talkers:
        raise SystemExit(f"no talker in {store.root} was started from another one; run `make demo` first")
    return talkers[-1]


def inputs(store: ArtifactStore, talker: Checkpoint, role: str) -> list[FeatureShard]:
    """Shards that it was trained on, in order."""
    names = sorted((name for name in talker.inputs if name.startswith(role)), key=lambda name: int(name.split()[1]))
    return [store.load(FeatureShard, talker.inputs[name]) for name in names]


def main() -> None:
    """A line a start and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("var"))
    parser.add_argument("--steps", type=int, nargs="+", default=[250, 600])
    parser.add_argument("--starts", nargs="+", default=["random", "warm"], choices=["random", "warm"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = ArtifactStore(arguments.home / "store")
    talker = newest(store)
    start: Artifact = store.load(QuantizedModel, talker.inputs["start"])
    codec = store.load(FittedCodec, talker.inputs["codec"])
    parts = store.load(QuantizedModel, start.digest).facts["components"]
    head = SpeechHeadSettings.model_validate(parts["speech_head"])
    codec_settings = CodecSettings.model_validate(codec.settings)
    data = (inputs(store, talker, "targets"), inputs(store, talker, "states"), codec, codec_settings, head)
    print(f"{'start':8} {'steps':>5} " + " ".join(f"{name:>9}" for name in SHOWN))
    for steps in arguments.steps:
        for name in arguments.starts:
            settings = SpeakSettings(**talker.settings | {"steps": steps, "warm_steps": steps})
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "weights").symlink_to((arguments.home / "weights").absolute())
                made = train.train_speak(
                    store, *data, "en", settings, start.digest if name == "warm" else "", Path(folder)
                )
            losses = " ".join(f"{made.facts[f'validation_{loss}']:9.4f}" for loss in SHOWN)
            print(f"{name:8} {steps:5} {losses}", flush=True)


if __name__ == "__main__":
    main()
