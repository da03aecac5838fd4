"""The browser of the tests: Debian's own, as Playwright's download is not wanted."""

import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "Chromium is missing: apt-get install chromium (make test does so as root)"
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
