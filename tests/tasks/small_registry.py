"""A home with models that answer in milliseconds, with the real store, the real registry and real proofs.

Run as a program it is a process that promotes when it is told to and dies when it is told to:

    python small_registry.py    stdin: {"home": ..., "name": ..., "versions": ["2"], "kill_after_s": 0.1}    stdout: [how each ended]

It forks a child for every promotion (what a process does once, imports above all, is paid once) and sends SIGKILL to it.
An order with a "server" is one to the registry behind that address.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.benchmark import LatencyReport
from data_contracts.compare import Verdict
from data_contracts.evaluate import EvaluationReport
from data_contracts.ingest import Manifest
from data_contracts.promote import PromoteSettings
from data_contracts.quantize import QuantizedModel
from omni_core.audio import encode_flac
from tasks import registry
from tasks.home import store_of

PARROT = Path(__file__).with_name("parrot.py")
CODE = (registry.ROOT / "omni_core" / "audio.py",)
"""What travels with a parrot: a hundred files more are a hundred requests more of every look through a server."""
FIRST = "parrot"
COMPONENTS = {
    "language_model": {"name": "huggingface", "weights": "bundled:smollm2_135m_instruct", "system_prompt": "Answer."},
    "encoder": {"name": "whisper", "weights": "bundled:whisper_tiny_en"},
    "codec": {"name": "mel_rvq", "weights": "", "vocoder": "hifigan"},
    "speech_head": {"name": "talker", "width": 32},
}


def write(home, cls, files, **card):
    """An artifact of text files."""
    store = store_of(str(home))
    with store.scratch(cls.kind) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        return store.commit(cls, folder, **card)


def manifest(home) -> Manifest:
    store, tones = store_of(str(home)), [0.3 * np.sin(np.arange(8_000) / (10 + tone)) for tone in range(5)]
    with store.scratch(Manifest.kind) as folder:
        (folder / "utterances").mkdir()
        rows = [
            {"split": split, "audio": encode_flac(tone.astype(np.float32), 16_000)}
            for split, tone in zip(("train", "train", "train", "validation", "validation"), tones, strict=True)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "utterances" / "question-00000.parquet")
        return store.commit(Manifest, folder, facts={"turns": {"train": 3, "validation": 2, "test": 3}, "rejected": 2})


def model(home, voice: str) -> QuantizedModel:
    facts = {"components": COMPONENTS, "language": "en", "weight_quantizer": "onnx_int8", "size_bytes": 4_000_000}
    files = {"model.json": json.dumps({"voice": voice}), "weights.txt": voice * 1000}
    return write(home, QuantizedModel, files, facts=facts, licences={"texts": "Apache-2.0"}, inputs={})


def evaluation(home, of: QuantizedModel, questions: Manifest) -> EvaluationReport:
    facts = {"sealed_set": "5ea1ed", "metrics": {
        "own_speech_wer": {"value": 0.1, "unit": "fraction", "better": "lower", "count": 150},
        "answer_accuracy": {"value": 0.8, "unit": "fraction", "better": "higher", "count": 150},
    }}  # fmt: skip
    return write(home, EvaluationReport, {}, inputs={"model": of, "manifest": questions}, facts=facts)


def verdict(home, new: EvaluationReport, old: EvaluationReport | None, decision: str = "PROMOTE") -> Verdict:
    times = {"time_to_first_audio_ms": {"p50": 1.0, "p95": 2.0}, "real_time_factor": {"p50": 0.1}, "hardware": "one"}
    timed = store_of(str(home)).load(QuantizedModel, new.inputs["model"])
    latency = write(home, LatencyReport, {}, facts=times, inputs={"model": timed})
    facts = {"decision": decision, "reasons": ["own_speech_wer: better", f"against {old and old.digest}"]}
    inputs = {"challenger": new, "latency": latency} | ({"champion": old} if old else {})
    return write(home, Verdict, {}, facts=facts, inputs=inputs)


def journey(home, voice: str, champion: str = "", decision: str = "PROMOTE"):
    """Model, verdict, evaluation, champion's model or None, manifest: what the stage `promote` takes."""
    questions, new = manifest(home), model(home, voice)
    old = model(home, champion) if champion else None
    judged = evaluation(home, new, questions)
    decided = verdict(home, judged, evaluation(home, old, questions) if old else None, decision)
    return new, decided, judged, old, questions


def settings(name: str = FIRST) -> PromoteSettings:
    return PromoteSettings(registered_model=name)


def register(home, voice: str, champion: str = "") -> str:
    """Number of a registered, unpromoted version of the first registered model."""
    from tasks import tracking
    from tasks.promote import register_winner

    new, decided, judged, old, questions = journey(home, voice, champion)
    flow = tracking.FlowRun(f"flow-{voice}-{champion}", str(home))
    run_id = tracking.run_of(flow)
    before = old.digest if old else ""
    with patch.object(registry, "SERVED_MODEL", PARROT), patch.object(registry, "SERVED_CODE", CODE):
        number = register_winner(run_id, new, decided, judged, before, questions, settings(), str(home))
    tracking.close_run(flow.id, "FINISHED")
    return number


def register_all(home) -> None:
    """1 is model a; 2 (model b) beats a, 3 (model a again) beats b, so that these two can be promoted for ever; 4 beats a."""
    registered = [register(home, *words) for words in (("a",), ("b", "a"), ("a", "b"), ("c", "a"))]
    assert registered == ["1", "2", "3", "4"]


def copy(home, name: str) -> str:
    """The same versions under another name, with a history of its own; 1 is champion. A new database takes seconds."""
    from tasks import tracking
    from tasks.champion import promote_version

    client = tracking.connect(str(home))
    registry.open_model(str(home), name)
    for version in sorted(client.search_model_versions(f"name = '{FIRST}'"), key=lambda version: int(version.version)):
        model_id = version.source.removeprefix("models:/")
        client.create_model_version(name, version.source, version.run_id, version.tags, model_id=model_id)
    promote_version(str(home), "1", settings(name))
    return name


def _promote_in_a_child(home: str, name: str, version: str) -> int:
    child = os.fork()
    if child:
        return child
    from data_contracts.errors import OmniError
    from tasks.champion import promote_version

    try:
        promote_version(home, version, settings(name))
        code = 0
    except OmniError as error:
        print(f"omni: {error}", file=sys.stderr, flush=True)
        code = 2
    os._exit(code)


def _import_all() -> None:
    import filelock  # noqa: F401
    import mlflow.pyfunc.model
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from mlflow.utils import requirements_utils

    import omni_core.probe
    import tasks.champion  # noqa: F401

    # Once a process MLflow looks through all that is installed, for about a second: paid here, not by every child.
    requirements_utils._init_modules_to_packages_map()
    omni_core.probe.machine()


def _rehearse(home: str, name: str) -> None:
    """A whole promotion in a copy of the database, whose connections no child uses: a first one maps tables, imports and
    compiles statements for longer than it then promotes."""
    from tasks.champion import promote_version

    with tempfile.TemporaryDirectory() as copied:
        shutil.copy(f"{home}/mlflow.db", copied)
        promote_version(copied, "2", settings(name))


def _obey() -> None:
    from tasks import tracking

    _import_all()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        tracking.USERS_SERVER = order.get("server")
        if "rehearse" in order:
            _rehearse(order["home"], order["name"])
            print(json.dumps({"number": order.get("number")}), flush=True)
            continue
        homes = order.get("homes", [order.get("home")] * len(order["versions"]))
        start = time.monotonic()
        children = [
            _promote_in_a_child(home, order["name"], one) for home, one in zip(homes, order["versions"], strict=True)
        ]
        if "kill_after_s" in order:
            time.sleep(order["kill_after_s"])
            for child in children:
                os.kill(child, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        seconds = time.monotonic() - start
        print(json.dumps({"number": order.get("number"), "codes": codes, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    _obey()
