"""Where a browser for the tests is, and whether they may be left out without one."""

import os
import shutil

REQUIRED = os.environ.get("MVG_BROWSER_TESTS") == "required"
LEFT_OUT = "the browser tests were left out: no Chromium on this machine (Debian's package is `chromium`)"


def browser_path() -> str | None:
    """The program of a Chromium browser, None without one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)
