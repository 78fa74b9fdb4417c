"""A codec with weights becomes the same kind of artifact as a fitted one, without reading any speech."""

import pytest
import torch

from data_contracts.components import CodecSettings
from data_contracts.errors import SettingsError, WeightsError
from data_contracts.ingest import Manifest
from omni_core import components
from omni_core.fit import fit_codec
from omni_core.report_lineage import lineage
from tests.omni_core.codecs.tiny_codecs import WRITERS

NO_DATA = Manifest(digest="-", kind_name="manifest")


@pytest.mark.parametrize("variant", sorted(WRITERS))
def test_a_codec_with_weights_is_stored_as_it_is(store, variant, tmp_path):
    name, write = WRITERS[variant]
    settings = CodecSettings(name=name, weights=write(tmp_path), num_codebooks=4)
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    made = fit_codec(store, NO_DATA, [], settings, tmp_path)
    stored = components.load("codecs", name, settings, store.verify(made), tmp_path)
    original = components.load("codecs", name, settings, tmp_path, tmp_path)
    waveform = 0.1 * torch.randn(1, 3 * original.samples_per_frame)
    codes = original.encode(waveform)
    assert torch.equal(stored.encode(waveform), codes) and torch.equal(stored.decode(codes), original.decode(codes))
    assert {key: made.facts[key] for key in ("num_codebooks", "codebook_size", "sample_rate_hz", "frame_rate_hz")} == {
        "num_codebooks": codes.shape[1], "codebook_size": original.codebook_size,
        "sample_rate_hz": original.sample_rate_hz, "frame_rate_hz": original.frame_rate_hz}  # fmt: skip
    assert lineage({"fit codec": made})[0]["licences"] == [f"codec {tmp_path}: cc-by-4.0"]


def test_another_number_of_codebooks_is_another_artifact(store, tmp_path):
    weights = WRITERS["mimi"][1](tmp_path)
    digests = {
        fit_codec(store, NO_DATA, [], CodecSettings(name="mimi", weights=weights, num_codebooks=n), tmp_path).digest
        for n in (2, 4)
    }
    assert len(digests) == 2


@pytest.mark.parametrize("name", ["snac", "mimi", "encodec", "dac"])
def test_a_codec_that_needs_weights_says_which(store, name, tmp_path):
    with pytest.raises(SettingsError, match=rf"set components.codec.weights to a folder or a hub id, as \w+/{name}"):
        fit_codec(store, NO_DATA, [], CodecSettings(name=name), tmp_path)
    assert not list(tmp_path.glob("store/codec/*"))


def test_a_hub_id_that_is_not_there_stores_nothing(store, tmp_path):
    with pytest.raises(WeightsError, match="no Mimi codec in 'somebody/else'"):
        fit_codec(store, NO_DATA, [], CodecSettings(name="mimi", weights="somebody/else"), tmp_path)
    assert not list(tmp_path.glob("store/codec/*"))


def test_a_codec_fitted_elsewhere_is_taken_by_its_folder(store, tmp_path):
    from omni_core.codecs import mel_rvq

    small = CodecSettings(num_codebooks=2, codebook_size=16, vocoder="griffin_lim", refine_steps=1)
    mel_rvq.fit([0.1 * torch.randn(22_050)], small, tmp_path).save(tmp_path)
    made = fit_codec(store, NO_DATA, [], small.model_copy(update={"weights": str(tmp_path)}), tmp_path)
    assert made.facts["codebook_size"] == 16 and "config.json" in made.files
    with pytest.raises(WeightsError, match="no fitted mel_rvq in 'somebody/else'"):
        fit_codec(store, NO_DATA, [], small.model_copy(update={"weights": "somebody/else"}), tmp_path)
