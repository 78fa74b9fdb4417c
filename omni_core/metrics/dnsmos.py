"""DNSMOS P.835: a waveform enters, three opinions leave: of the voice, the background and the whole. MOS 1 to 5, higher is better.

Reddy et al. 2022, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to Evaluate Noise
Suppressors"; sig_bak_ovr.onnx inside the package speechmos 0.0.1.1 (MIT), with its polynomial calibration. Made for
noisy recordings: it tells background noise from damage of the voice. On clean synthetic speech it is nearly blind
(most codecs score as the original): do not read it there, read distill_mos.

Not in the default settings: 0.4 s of one core a clip. Only the file is read: speechmos' code would need librosa and numba.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_contracts.errors import ComponentError
from omni_core.audio import resample
from omni_core.metrics import AnsweredTurn, Columns, Figure, LanguagePack, check_weights

WEIGHTS_SHA256 = "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"
SAMPLE_RATE_HZ = 16_000
INPUT_SAMPLES = 144_160  # 9.01 s; shorter clips are repeated, as speechmos does
WORST = 1.0
# speechmos.dnsmos.DNSMOS.get_polyfit_val, not personalised: signal, background, overall
CALIBRATION = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
COLUMNS = ("dnsmos_signal", "dnsmos_background", "dnsmos_overall")


class DNSMOS:
    """The ONNX network on the CPU; a clip longer than 9 s is the mean of hops of one second."""

    is_slow = True
    figures = tuple(
        Figure(name, "MOS", "higher", f"predicted opinion of the {name.split('_')[1]}", name) for name in COLUMNS
    )

    def __init__(self, network: Path, threads: int):
        import onnxruntime

        check_weights(network, WEIGHTS_SHA256, "speechmos==0.0.1.1")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])

    def score(self, turns: Sequence[AnsweredTurn]) -> Columns:
        """Three scores a turn."""
        scores = [self.mos(turn.waveform, turn.sample_rate_hz) for turn in turns]
        return {name: [float(row[i]) for row in scores] for i, name in enumerate(COLUMNS)}

    def mos(self, waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """(samples,) -> (3,): signal, background, overall."""
        if not np.any(waveform):
            return np.full(3, WORST)
        samples = np.clip(resample(waveform, sample_rate_hz, SAMPLE_RATE_HZ), -1, 1)
        samples = np.resize(samples, max(len(samples), INPUT_SAMPLES))
        starts = range(0, len(samples) - INPUT_SAMPLES + 1, SAMPLE_RATE_HZ)
        raw = [self._session.run(None, {"input_1": samples[None, s : s + INPUT_SAMPLES]})[0][0] for s in starts]
        return np.mean([[np.polyval(c, x) for c, x in zip(CALIBRATION, row, strict=True)] for row in raw], axis=0)


def load(pack: LanguagePack, threads: int = 1) -> DNSMOS:
    """The metric; raises ComponentError when speechmos is not installed."""
    found = importlib.util.find_spec("speechmos")  # finding does not import it: that would need librosa
    if found is None or not found.submodule_search_locations:
        raise ComponentError(
            "the metric 'dnsmos' needs the network inside speechmos; `pip install --no-deps speechmos==0.0.1.1`"
        )
    return DNSMOS(Path(found.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx", threads)
