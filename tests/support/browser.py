"""A browser, for tests of pages: the machine's Chromium, without a network."""

import shutil
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return the machine's Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def why_not() -> str:
    """Return why no page can be opened, "" where one can."""
    return "" if find_chromium() else "Chromium is not installed"
