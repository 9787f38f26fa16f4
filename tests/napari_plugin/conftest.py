"""A screen for napari's window: the one that is there, or Xvfb's with software rendering."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.browsers import REQUIRED

_LACKING = "no screen for napari's window: `.ci/run` lists the packages of Debian that it needs"
_OPEN_WINDOW = "from qtpy.QtWidgets import QApplication; QApplication([])"


@pytest.fixture(scope="session")
def screen() -> Iterator[None]:
    """A display on which Qt starts; without one the tests fail where MVG_BROWSER_TESTS says so, else are skipped."""
    server = None if "DISPLAY" in os.environ else _start_screen()
    try:
        # In a process of its own: where a library is missing, Qt ends the whole process.
        if "DISPLAY" not in os.environ or subprocess.run([sys.executable, "-c", _OPEN_WINDOW]).returncode:
            pytest.fail(_LACKING) if REQUIRED else pytest.skip(_LACKING)
        yield
    finally:
        if server is not None:
            for name in _SETTINGS:
                os.environ.pop(name, None)
            server.terminate()
            server.wait(timeout=20)


_SETTINGS = {"DISPLAY": "", "LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb"}


def _start_screen() -> "subprocess.Popen[bytes] | None":
    """Xvfb, to which the environment then leads; None where it is not installed."""
    if shutil.which("Xvfb") is None:
        return None
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    if number:
        os.environ.update(_SETTINGS | {"DISPLAY": f":{number}"})
    return server
