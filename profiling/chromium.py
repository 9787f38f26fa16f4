"""A tab of Chromium, drawn without a graphics card, for programs that use the workbench as a person does."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from playwright.sync_api import Page, sync_playwright

_FLAGS = ("--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader", "--disable-quic")
_PATIENCE = 600_000  # milliseconds, on a machine that others use
_NO_GUIDE = "localStorage.setItem('mvg.guide', 'closed');"


@dataclass(frozen=True)
class Screen:
    """Width and height in CSS pixels, pixels of the picture for each of them, and the colors that the user prefers."""

    width: int
    height: int
    scale: float = 1.0
    scheme: Literal["light", "dark"] = "light"


@contextmanager
def tab(screen: Screen, script: str = "") -> Iterator[Page]:
    """A tab that does not show the guide; script: JavaScript that runs in each page first.

    Raises RuntimeError where there is no Chromium.
    """
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("no Chromium on this machine; expected the program `chromium`; install Debian's package")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        page = browser.new_page(
            viewport={"width": screen.width, "height": screen.height},
            device_scale_factor=screen.scale,
            color_scheme=screen.scheme,
        )
        page.set_default_timeout(_PATIENCE)
        page.add_init_script(_NO_GUIDE + script)
        try:
            yield page
        finally:
            browser.close()
