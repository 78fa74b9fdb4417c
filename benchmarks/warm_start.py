"""The bundled SmolLM2, another base made of it and a home's cached questions enter; curves of warm and random starts leave.

python benchmarks/warm_start.py [--home var] [--out docs]          about 15 minutes of one core; done curves are kept
python benchmarks/warm_start.py --text-path                        what the third phase of listening brings: 10 minutes

Nothing is run through the language model but for --text-path: the first phase is CTC to its tokens. The home needs the
artifacts of one run of the preset quickstart (manifest, encoder features; for --text-path a listen checkpoint).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.other_base import random_rotation, rotated, smaller_vocabulary, with_rows
from data_contracts.components import EncoderSettings, LanguageModelSettings
from data_contracts.features import FeatureShard
from data_contracts.ingest import Manifest
from data_contracts.train import Checkpoint, ListenSettings
from omni_core import components, listen, tables
from omni_core.adapter import Adapter
from omni_core.language_models.huggingface import CausalLanguageModel
from omni_core.listen import ListenData, validation_alignment_loss
from omni_core.prefix import TunedPrefix
from omni_core.store import ArtifactStore
from omni_core.train import load_listen
from omni_core.training_loop import Curve
from omni_core.warm_start import Donor, carry_over

STEPS, EVERY = 140, 5
"""The preset quickstart had 140 when this was measured; more bring both starts further."""
MERGES = {"turned": None, "turned, 8 000 merges": 8_000}
"""Other base -> merges of SmolLM2's 48 900 that its tokenizer has; None: all."""
ENCODER = EncoderSettings()
SEEDS = (0, 1)
"""Of the random starts; the first of them is the donor. They end far apart, so one would prove little."""
Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Swap:
    """From one base to another."""

    old: str
    new: str

    @property
    def title(self) -> str:
        """For tables and the picture."""
        return f"{self.old} → {self.new}"


SWAPS = (*(Swap("SmolLM2", name) for name in MERGES), Swap("turned, 8 000 merges", "SmolLM2"))


def bases(home: Path) -> dict[str, CausalLanguageModel]:
    """Name -> language model; all but SmolLM2 itself have their embedding space turned at random and their ids dealt anew."""
    lm = components.load("language_models", "huggingface", LanguageModelSettings(), home)
    found = {"SmolLM2": lm}
    for name, merges in MERGES.items():
        generator = torch.Generator().manual_seed(1)
        words, rows = smaller_vocabulary(lm.tokenizer, merges or 10**6, generator)
        model = with_rows(rotated(lm.model, random_rotation(lm.width, generator)), rows, words.eos_token_id)
        model.model.layers = torch.nn.ModuleList()  # CTC does not run them
        found[name] = replace(lm, model=model, tokenizer=words)
    return found


def questions(home: Path) -> tuple[ListenData, ListenData]:
    """Training and validation turns of the newest manifest, with the encoder features that the store has of them."""
    store = ArtifactStore(home / "store")
    manifest = store.load(Manifest, _newest(home, Manifest))
    cards = [store.load(FeatureShard, card.parent.name) for card in (home / "store" / "features").glob("*/card.json")]
    wanted = [card for card in cards if card.settings.get("weights") == ENCODER.weights]
    features = tables.encoder_features(store, wanted)
    train, validation = (
        ListenData([turn for turn in tables.turns(store, manifest, split) if turn["question_id"] in features], features)
        for split in ("train", "validation")
    )
    return train, validation


def _newest(home: Path, kind: Any, **facts: str) -> str:
    cards = sorted((home / "store" / kind.kind).glob("*/card.json"), key=lambda card: -card.stat().st_mtime)
    cards = [c for c in cards if all(json.loads(c.read_text())["facts"].get(k) == v for k, v in facts.items())]
    if not cards:
        raise SystemExit(f"no {kind.kind} in {home}/store; run the preset quickstart first")
    return cards[0].parent.name


def train(adapter: Adapter, lm: CausalLanguageModel, data: ListenData, held_out: ListenData, steps: int) -> Points:
    """The first phase as the flow runs it; (step, validation loss) from before the first step on."""
    points = [(0, validation_alignment_loss(adapter, lm, held_out))]

    def note(done: int, total: int, text: str) -> None:
        if done % EVERY == 0:
            points.append((done, validation_alignment_loss(adapter, lm, held_out)))
            print(f"  {done}/{total} {points[-1][1]:.4f}", flush=True)

    settings = ListenSettings(alignment_steps=steps, checkpoint_every_steps=10_000)
    with tempfile.TemporaryDirectory() as work:
        listen.train_alignment(adapter, lm, data, settings, Path(work), Curve(), note)
    return points


class Curves:
    """Curves by name, kept in a file, and the adapters that were donors beside it."""

    def __init__(self, home: Path):
        self.folder = home / "work" / "benchmark-warm-start"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home, self.bases = home, bases(home)
        self.data, self.held_out = questions(home)

    def random(self, base: str) -> list[Points]:
        """From random weights, a curve a seed; the first adapter is kept, as a donor."""
        return [self._kept(f"random {base} {seed}", partial(self._random, base, seed)) for seed in SEEDS]

    def _random(self, base: str, seed: int) -> Points:
        lm = self.bases[base]
        adapter = listen.new_adapter(lm, self.data, 50.0, seed).eval()
        points = train(adapter, lm, self.data, self.held_out, STEPS)
        if seed == SEEDS[0]:
            torch.save(adapter.state_dict(), self.folder / f"{base}.pt")
        return points

    def warm(self, swap: Swap, steps: int) -> Points:
        """From the old base's adapter."""
        return self._kept(f"warm {swap.title} {steps}", lambda: self._warm(swap, steps))

    def _warm(self, swap: Swap, steps: int) -> Points:
        old, new = self.bases[swap.old], self.bases[swap.new]
        adapter = listen.new_adapter(old, self.data, 50.0, 0)
        adapter.load_state_dict(torch.load(self.folder / f"{swap.old}.pt", weights_only=True))
        donor = Donor(adapter.eval(), TunedPrefix(torch.zeros(1, 2, 1, 1, 1)), ENCODER, old.system_prompt,
                      old.tokenizer, old.embedding.bfloat16())  # fmt: skip
        texts = sorted({turn["question_text"] for turn in self.data.turns})
        warm, _ = carry_over(donor, listen.new_adapter(new, self.data, 50.0, 0).eval(), new, texts)
        return train(warm, new, self.data, self.held_out, steps)

    def _kept(self, name: str, make: Any) -> Points:
        path = self.folder / f"{name.replace(' ', '_')}.json"
        if not path.is_file():
            print(name, flush=True)
            path.write_text(json.dumps(make()))
        return [(int(step), float(loss)) for step, loss in json.loads(path.read_text())]


def reached(points: Points, loss: float) -> str:
    """First noted step at or under the loss."""
    return next((str(step) for step, value in points if value <= loss), "not reached")


def row(swap: Swap, unlike: float, random: list[Points], warm: Points, half: Points) -> str:
    """A line of the table; the bar is the better of the random starts."""
    finals = [points[-1][1] for points in random]
    cells = [
        swap.title,
        f"{unlike:.0%}",
        ", ".join(f"{points[0][1]:.1f}" for points in random),
        f"{warm[0][1]:.2f}",
        ", ".join(f"{loss:.3f}" for loss in finals),
        f"{warm[-1][1]:.3f}",
        reached(warm, min(finals)),
        f"{half[-1][1]:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def unlike_tokens(old: CausalLanguageModel, new: CausalLanguageModel, data: ListenData) -> float:
    """Share of the new base's tokens in the training questions that the old one does not write in them."""
    texts = [turn["question_text"] for turn in data.turns]
    known = {old.tokenizer.convert_ids_to_tokens(id_) for text in texts for id_ in old.tokens(text)}
    written = [new.tokenizer.convert_ids_to_tokens(id_) for text in texts for id_ in new.tokens(text)]
    return sum(token not in known for token in written) / len(written)


def draw(curves: dict[Swap, tuple[list[Points], Points, Points]], path: Path) -> None:
    """A panel a swap, loss on a logarithmic axis."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "warm start"
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(3.4 * len(curves), 3.2), sharey=True)
    for panel, (swap, (random, warm, half)) in zip(panels, curves.items(), strict=True):
        for points, label, style in (
            *((points, f"random, seed {seed}", "C7-") for seed, points in zip(SEEDS, random, strict=True)),
            (warm, "warm", "C0-"),
            (half, "warm, half the steps", "C1--"),
        ):
            panel.plot(*zip(*points, strict=True), style, label=label, linewidth=1.4)
        panel.axhline(min(points[-1][1] for points in random), color="C7", linewidth=0.8, linestyle=":")
        panel.set(yscale="log", xlabel="step", title=swap.title)
        panel.title.set_fontsize(9)
    panels[0].set_ylabel("validation CTC loss")
    panels[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def text_path(home: Path, steps: int, rates: tuple[float, ...]) -> None:
    """Answers on validation before and after the third phase, from the newest listen checkpoint."""
    store = ArtifactStore(home / "store")
    folder = store.folder(store.load(Checkpoint, _newest(home, Checkpoint, stage="listen")))
    lm = components.load("language_models", "huggingface", LanguageModelSettings(), home)
    data, held_out = questions(home)
    for rate in (0.0, *rates):
        adapter, prefix = load_listen(folder)
        settings = ListenSettings(
            text_path_steps=steps, text_path_learning_rate=rate or 1.0, checkpoint_every_steps=10_000
        )
        if rate:
            with tempfile.TemporaryDirectory() as work:
                listen.train_text_path(adapter, prefix, lm, data, settings, Path(work), Curve())
        print(f"rate {rate:g}: {listen.validate(adapter, prefix, lm, held_out)}", flush=True)


def main() -> None:
    """Measure what is not kept yet, print the table, draw the picture."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--home", type=Path, default=Path("var"))
    arguments.add_argument("--out", type=Path, default=Path("docs"))
    arguments.add_argument("--text-path", action="store_true")
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    if asked.text_path:
        text_path(asked.home, 30, (1e-5, 1e-4))
        return
    curves, lines = Curves(asked.home), []
    found = {}
    for swap in SWAPS:
        curves.random(swap.old)
        found[swap] = curves.random(swap.new), curves.warm(swap, STEPS), curves.warm(swap, STEPS // 2)
        unlike = unlike_tokens(curves.bases[swap.old], curves.bases[swap.new], curves.data)
        lines.append(row(swap, unlike, *found[swap]))
    print("\n".join(lines))
    draw(found, asked.out / "warm_start.svg")


if __name__ == "__main__":
    main()
