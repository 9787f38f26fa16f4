"""How the annotator works: through the client, or in a browser as a person does, with mouse and keys alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from mvg_client import Session, Workbench
from numpy.typing import NDArray
from playwright.sync_api import Page
from scipy import ndimage
from skimage.measure import find_contours

from profiling.chromium import Screen, tab

Labels = NDArray[np.uint8]
Facts = Mapping[str, Any]
PLANES = ("sagittal", "coronal", "axial")
_PROBES = 30  # points along a side where the page is asked which voxel is there
_FREEHAND = 4.5  # CSS pixels between two corners of an outline


class Hands(Protocol):
    """What an annotator does with a study; clicks: buttons, keys and outlines so far."""

    clicks: int

    def open(self, task: Facts, study: Facts) -> None:
        """Open a study."""

    def facts(self) -> dict[str, Any]:
        """Where its session stands."""

    def next_uncertain(self) -> int | None:
        """Go to the slice that is worth correcting next; None where there is none."""

    def paint(self, axis: int, index: int, numbers: Labels) -> None:
        """Give a slice these class numbers."""

    def predict(self) -> None:
        """Have the others predicted."""

    def labels(self) -> Labels:
        """Class numbers (x, y, z), to compare them with the truth."""

    def accept(self) -> None:
        """Accept the study as an example, and leave it."""

    def predict_all(self, task: Facts, studies: Sequence[Facts]) -> None:
        """Have these studies predicted from all examples. Raises RuntimeError where one fails."""


@dataclass
class ClientHands:
    """Works through `mvg_client`. An outline for each part of a label counts, and a key for each label."""

    bench: Workbench
    clicks: int = 0
    _session: Session | None = None

    @property
    def session(self) -> Session:
        """The open one."""
        assert self._session is not None, "a study is open"
        return self._session

    def open(self, task: Facts, study: Facts) -> None:
        """See Hands."""
        self._session, self.clicks = self.bench.open(task, study), self.clicks + 1

    def facts(self) -> dict[str, Any]:
        """See Hands."""
        return self.session.facts()

    def next_uncertain(self) -> int | None:
        """See Hands."""
        _, slices = self.session.uncertain(1)
        self.clicks += 1
        return slices[0] if slices else None

    def paint(self, axis: int, index: int, numbers: Labels) -> None:
        """See Hands."""
        self.session.correct(axis, index, numbers)
        present = [number for number in np.unique(numbers).tolist() if number]
        self.clicks += sum(ndimage.label(numbers == number)[1] + 1 for number in present)

    def predict(self) -> None:
        """See Hands."""
        self.clicks += 1
        for _ in self.session.predict():
            pass

    def labels(self) -> Labels:
        """See Hands."""
        return self.session.labels()

    def accept(self) -> None:
        """See Hands."""
        self.clicks += 1
        self.session.finish(example=True)
        self.session.close()

    def predict_all(self, task: Facts, studies: Sequence[Facts]) -> None:
        """See Hands."""
        self.clicks += 1
        _check_failures(self.bench.predict_all(task, studies).wait())


@dataclass
class BrowserHands:
    """Works in a browser's tab; the client only reads what came out."""

    page: Page
    bench: Workbench
    address: str
    clicks: int = 0
    _session: Session | None = None
    _pixels: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)

    def open(self, task: Facts, study: Facts) -> None:
        """See Hands."""
        self.page.goto(f"{self.address}/#/bench/{task['id']}/{study['id']}")
        self.page.wait_for_selector(f".bench[data-study='{study['id']}']")
        self._saved()
        self._session, self._pixels, self.clicks = self.bench.open(task, study), {}, self.clicks + 1
        plane = self.page.locator(f"[data-layout={PLANES[int(self.facts()['plane'])]}]")
        if plane.get_attribute("aria-pressed") != "true":
            if plane.is_visible():
                plane.click()
                self.clicks += 1
            else:  # where there is little room only the key is left
                self._press("q")

    @property
    def session(self) -> Session:
        """The open one, as the client reads it."""
        assert self._session is not None, "a study is open"
        return self._session

    def facts(self) -> dict[str, Any]:
        """See Hands."""
        return self.session.facts()

    def next_uncertain(self) -> int | None:
        """See Hands."""
        _, slices = self.session.uncertain(3)
        index = next((index for index in slices if index != self._index()), None)
        if index is not None:
            self._press("n")
            self.page.locator(".where", has_text=f" {index + 1} / ").wait_for()
        return index

    def paint(self, axis: int, index: int, numbers: Labels) -> None:
        """See Hands. The slice is emptied; then each part of each label is drawn freehand, those within others last."""
        self._go_to(index)
        if self.session.labels().take(index, axis).any():
            self._press("Delete")
        filled = {int(n): ndimage.binary_fill_holes(numbers == n) for n in np.unique(numbers) if n}
        for number, mask in sorted(filled.items(), key=lambda one: -int(one[1].sum())):
            self._press(str(number), "p")
            for outline in find_contours(np.pad(mask, 1).astype(float), 0.5):
                self._draw(self._on_screen(axis, outline - 1))
        if not filled and not self.session.facts()["annotated"].count(index):
            self._press("Delete")
        self._saved()

    def predict(self) -> None:
        """See Hands."""
        self._press("a")
        while True:
            facts = self.facts()
            if facts["predicted_revision"] == facts["revision"]:
                break
            time.sleep(0.1)
        self.page.locator(".center .bar").wait_for(state="hidden")

    def labels(self) -> Labels:
        """See Hands."""
        return self.session.labels()

    def accept(self) -> None:
        """See Hands."""
        self._press("x")
        while self.facts()["state"] != "done":
            time.sleep(0.1)

    def predict_all(self, task: Facts, studies: Sequence[Facts]) -> None:
        """See Hands. The page has all studies predicted that are neither corrected nor accepted."""
        before = {batch.id for batch in self.bench.batches(task)}
        self.page.goto(f"{self.address}/#/studies/{task['id']}")
        self.page.locator(".batch button", has_text="Answer").first.click()
        self.clicks += 2
        while not (new := [batch for batch in self.bench.batches(task) if batch.id not in before]):
            time.sleep(0.1)
        _check_failures(new[0].wait())

    def _press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.clicks += 1

    def _saved(self) -> None:
        self.page.wait_for_selector(".save[data-state=saved]")

    def _index(self) -> int:
        """The slice on the screen."""
        return int(self.page.locator(".where").inner_text().split()[1]) - 1

    def _go_to(self, index: int) -> None:
        """Ten slices at a time, then one by one."""
        while (step := index - self._index()) != 0:
            self._press(("PageUp" if step > 0 else "PageDown") if abs(step) >= 10 else
                        ("ArrowUp" if step > 0 else "ArrowDown"))  # fmt: skip

    def _draw(self, points: NDArray[np.float64]) -> None:
        """One outline with the button pressed; corners that are too near one another are left out."""
        kept = [points[0]]
        for point in points[1:]:
            if np.hypot(*(point - kept[-1])) >= _FREEHAND:
                kept.append(point)
        if len(kept) < 3:
            return
        self.page.mouse.move(*kept[0])
        self.page.mouse.down()
        for point in kept[1:]:
            self.page.mouse.move(*point)
        self.page.mouse.up()
        self.clicks += 1

    def _on_screen(self, axis: int, voxels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points of a slice (n, 2), in voxels, are on the screen."""
        if axis not in self._pixels:
            self._pixels[axis] = self._measured(axis)
        offset, scale = self._pixels[axis]
        return np.asarray(offset + scale * voxels)

    def _measured(self, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The screen position of voxel 0 and the pixels of a voxel, from what the page says of points of it."""
        box = self.page.locator(".overlay").bounding_box()
        assert box is not None, "a study is open"
        corner, sides = np.array([box["x"], box["y"]]), np.array([box["width"], box["height"]])
        first, second = (other for other in range(3) if other != axis)
        offset, scale = np.zeros(2), np.zeros(2)
        for direction, along in enumerate((first, second)):
            pairs = []
            for share in np.linspace(0.02, 0.98, _PROBES).tolist():
                point = corner + sides * (np.array([share, 0.5]) if direction == 0 else np.array([0.5, share]))
                self.page.mouse.move(*point)
                texts = self.page.locator(".readout .voxel").all_inner_texts()
                if texts:
                    pairs.append((int(texts[0].split(",")[along]) - 1, float(point[direction])))  # counted from 1
            voxel, position = np.array(pairs, np.float64).T
            scale[direction], offset[direction] = np.polyfit(voxel, position, 1)
        return offset, scale


@contextmanager
def browser_hands(bench: Workbench, address: str) -> Iterator[BrowserHands]:
    """A browser's tab with the workbench. Raises RuntimeError where there is no Chromium."""
    # Chromium draws in software: half as many pixels along each side take a quarter of the time.
    with tab(Screen(1180, 760, scale=0.5)) as page:
        yield BrowserHands(page, bench, address)


def _check_failures(facts: Facts) -> None:
    if facts["failed"]:
        raise RuntimeError(f"{facts['failed'][0]['error']}")
