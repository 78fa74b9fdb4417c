"""The start of a training stage is part of its cache key: by digest when it is a model, by content when it is a folder."""

from data_contracts.train import ListenSettings
from tasks.caching import content_key


def key(start: str) -> str:
    return content_key(
        "train_listen", ("omni_core.progress",), {"settings": ListenSettings(), "start": start, "home": "var"}
    )


def test_another_champion_is_another_start():
    assert key("a" * 32) == key("a" * 32) and len({key("a" * 32), key("b" * 32), key("")}) == 3


def test_a_folder_counts_by_what_is_in_it_wherever_it_lies(tmp_path):
    for name, text in (("here", "a"), ("moved", "a"), ("other", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(text)
    here, moved, other = (key(str(tmp_path / name)) for name in ("here", "moved", "other"))
    assert here == moved != other
