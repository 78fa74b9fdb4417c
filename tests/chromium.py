"""Where Chromium is, whatever it is called here. A person's machine without it skips what is clicked; CI fails instead."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str:
    """Its path; to be called in a test or a fixture."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and "CI" not in os.environ:
        pytest.skip("Chromium is not installed, so nothing can be shown in it")
    assert found, f"none of {', '.join(NAMES)} is installed; CI has to show pages"
    return found
