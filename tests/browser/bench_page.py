"""The page as a user handles it: clicks, keys, and what can be read on the screen."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, Position

SAVED = ".save[data-state=saved]"
_TRANSFER = """files => {
    const transfer = new DataTransfer();
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    for (const [name, text] of files) transfer.items.add(new File([bytes(text)], name));
    return transfer;
}"""
PATIENCE = 180_000  # milliseconds: other tests run on the same cores; only what fails takes so long


@dataclass(frozen=True)
class Pointed:
    """What the page says of a voxel: RAS index, intensity or colors, and the name of its label or ""."""

    voxel: tuple[int, int, int]
    intensity: str
    label: str


@dataclass(frozen=True)
class BenchPage:
    """A tab with the workbench."""

    page: Page
    address: str

    def open(self, task: str, study: str) -> None:
        """Opens a study in the bench."""
        self.page.goto(f"{self.address}/#/bench/{task}/{study}")
        self.opened(study)

    def opened(self, study: str = "") -> None:
        """Returns when a study, the named one or any, is open and saved."""
        self.page.wait_for_selector(
            f".bench[data-study^='{study}']" if study else ".bench[data-study]", timeout=PATIENCE
        )
        self.saved()

    def saved(self) -> None:
        """Returns when the server has every stroke."""
        self.page.wait_for_selector(SAVED, timeout=PATIENCE)

    def drawn(self) -> None:
        """Returns when the picture shows what was asked last: painting in another plane moves the planes."""
        self.page.wait_for_selector("canvas[aria-busy=false]", timeout=PATIENCE)

    def at(self, across: float, down: float) -> Position:
        """A point of the picture, by shares of its width and height."""
        box = self.page.locator(".overlay").bounding_box()
        assert box is not None
        return {"x": round(box["x"] + across * box["width"]), "y": round(box["y"] + down * box["height"])}

    def point(self, across: float, down: float) -> Pointed:
        """Moves the pointer there and reads what the page says of it."""
        self.drawn()
        position = self.at(across, down)
        self.page.mouse.move(position["x"], position["y"])
        voxel, intensity, label = (self.page.locator(f".readout .{name}") for name in ("voxel", "intensity", "class"))
        x, y, z = (int(number) - 1 for number in voxel.inner_text().split(","))
        return Pointed((x, y, z), intensity.inner_text(), label.inner_text())

    def click(self, across: float, down: float) -> Pointed:
        """Clicks there; returns what was there before."""
        pointed = self.point(across, down)
        self.page.mouse.down()
        self.page.mouse.up()
        return pointed

    def outline(self, *corners: tuple[float, float]) -> None:
        """Fills a polygon with the chosen label."""
        self.keys("p")
        for corner in corners:
            self.click(*corner)
        self.keys("Enter")
        self.saved()

    def keys(self, *names: str) -> None:
        """Presses keys, one after the other."""
        for name in names:
            self.page.keyboard.press(name)

    def predict(self) -> None:
        """Lets the volume be predicted; returns when it is."""
        self.keys("a")
        self.predicted()

    def predicted(self) -> None:
        """Returns when no prediction is running. Its bar is there as soon as the key or button was pressed."""
        self.page.wait_for_selector(".bar", state="hidden", timeout=PATIENCE)

    @property
    def status(self) -> str:
        """The line below the buttons."""
        return self.page.locator(".status").inner_text()

    def export(self, entry: str, folder: Path) -> Path:
        """Saves what an entry of the export menu offers."""
        self.page.click(".menu summary")
        with self.page.expect_download(timeout=PATIENCE) as download:
            self.page.get_by_role("button", name=entry).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def drop(self, selector: str, *paths: Path) -> None:
        """Drops files from a folder of the desktop there."""
        files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
        transfer = self.page.evaluate_handle(_TRANSFER, files)
        for event in ("dragover", "drop"):
            self.page.dispatch_event(selector, event, {"dataTransfer": transfer})

    def screenshot(self, path: Path) -> NDArray[np.uint8]:
        """The picture on the screen (rows, columns) in gray, in pixels of the whole tab."""
        self.page.mouse.move(2, 2)
        self.drawn()
        self.page.screenshot(path=path)
        return np.asarray(Image.open(path).convert("L"))
