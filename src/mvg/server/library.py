"""The studies of the served folder: listed, read with all checks, and described."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg._atomic import atomic_file
from mvg.errors import FileError, MvgError
from mvg.imaging.files import read, read_gray, read_labels
from mvg.imaging.overlay import fill, plain
from mvg.imaging.volume import LabelMap, Volume, luminance
from mvg.imaging.window import Window, guess_modality
from mvg.prediction.corrections import on_grid_of
from mvg.server import intake
from mvg.server.events import Channel
from mvg.server.index import Index, StudyRow
from mvg.server.ras import PLANES, RasGrid
from mvg.server.refusals import missing
from mvg.server.scanning import scan
from mvg.server.uploads import uploaded_studies
from mvg.server.workspace import Workspace

_CACHE_BYTES = 400 * 2**20
_THUMBNAIL = 96  # pixels of its longer side


@dataclass(frozen=True, eq=False)
class Study:
    """A study that was read: its volume, its grid, and the file that it came from."""

    row: StudyRow
    volume: Volume

    @property
    def id(self) -> str:
        """Names the study."""
        return self.row.id

    @property
    def grid(self) -> RasGrid:
        """The grid of the volume."""
        return RasGrid(self.volume.shape, self.volume.affine)


class Library:
    """Lists and reads studies. Safe for several threads."""

    def __init__(self, workspace: Workspace, index: Index, channel: Channel) -> None:
        self._workspace, self.index, self._channel = workspace, index, channel
        self._cache: OrderedDict[str, tuple[tuple[int, float], Study]] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self.scanning = False

    def rescan(self) -> None:
        """Take the studies that are in the folder now."""
        self.scanning = True
        try:
            count = self.index.replace_studies((*scan(self._workspace.folder), *uploaded_studies(self._workspace)))
        finally:
            self.scanning = False
        self._channel.send("studies", {"scanning": False, "total": count})

    def rescan_in_background(self) -> None:
        """Start a scan in a thread, unless one is running."""
        if not self.scanning:
            self.scanning = True
            threading.Thread(target=self.rescan, name="scan", daemon=True).start()

    def row(self, study: str, task: str | None = None) -> StudyRow:
        """A study of the list; RefusedError where there is none."""
        row = self.index.study(study, task)
        if row is None:
            raise missing("study", study, "rescan the folder or reload the list")
        return row

    def study(self, study: str) -> Study:
        """A study with its voxels. Raises RefusedError for an unknown one, FileError where it cannot be read."""
        row = self.row(study)
        with self._reading:  # one at a time: several large volumes at once would not fit into memory
            path = self._checked(row)
            facts = path.stat()
            stamp = (facts.st_size, facts.st_mtime)
            with self._lock:
                kept = self._cache.get(study)
                if kept is not None and kept[0] == stamp:
                    self._cache.move_to_end(study)
                    return kept[1]
            read_study = self._read(row, path)
            self._keep(study, stamp, read_study)
            return read_study

    def with_labels(self) -> list[StudyRow]:
        """The studies that have a label file beside them."""
        return self.index.with_labels()

    def path(self, row: StudyRow) -> Path:
        """Where a study lies."""
        root = self._workspace.uploads if row.file.origin == "upload" else self._workspace.folder
        return root / row.file.path

    def labels_beside(self, study: Study) -> LabelMap:
        """The labels beside a study, on its grid. RefusedError without, FileError or GeometryError where unfit."""
        path = self._target_path(study.row)
        return on_grid_of(read_labels(path), study.volume)

    def picture_beside(self, study: Study) -> Volume:
        """The target picture beside a study."""
        return read_gray(self._target_path(study.row))

    def thumbnail(self, study: str, labels: Callable[[Study], NDArray[np.uint8] | None] | None = None) -> bytes:
        """The middle slice as a small PNG. labels: class numbers on the study's grid to draw over it."""
        path = self._workspace.thumbnail(study)
        row = self.row(study)
        if labels is None and path.exists() and path.stat().st_mtime >= row.file.modified:
            return path.read_bytes()
        read_study = self.study(study)
        content = _thumbnail(read_study, None if labels is None else labels(read_study))
        if labels is None:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        return content

    def forget(self, study: str) -> None:
        """Remove a study from the list and from memory."""
        self.index.remove_study(study)
        with self._lock:
            self._cache.pop(study, None)

    def _target_path(self, row: StudyRow) -> Path:
        if row.file.labels is None:
            raise missing("label file beside the study", row.file.path, "label a slice, or add an example")
        return intake.check_file(self._workspace.folder / row.file.labels, self._workspace.folder)

    def _checked(self, row: StudyRow) -> Path:
        root = self._workspace.uploads if row.file.origin == "upload" else self._workspace.folder
        try:
            return intake.check_file(self.path(row), root)
        except FileError as error:
            if not self.path(row).exists():
                raise missing("file of the study", row.file.path, "put it back or rescan the folder") from error
            self.index.set_details(row.id, row.details, str(error))
            raise

    def _read(self, row: StudyRow, path: Path) -> Study:
        level = logging.getLogger("mvg").level
        try:
            volume = read(path)
        except MvgError as error:
            self.index.set_details(row.id, row.details, str(error))
            raise
        finally:
            logging.getLogger("mvg").setLevel(level)
        details = _details(volume)
        self.index.set_details(row.id, details, None)
        return Study(replace(row, details=details, file=replace(row.file, error=None)), volume)

    def _keep(self, study: str, stamp: tuple[int, float], read_study: Study) -> None:
        with self._lock:
            self._cache[study] = (stamp, read_study)
            while len(self._cache) > 1 and self._bytes() > _CACHE_BYTES:
                self._cache.popitem(last=False)

    def _bytes(self) -> int:
        return sum(study.volume.voxels.nbytes for _, study in self._cache.values())


def study_facts(row: StudyRow) -> dict[str, Any]:
    """What lists say of the voxels of a study, as far as it was read."""
    facts: Mapping[str, Any] = row.details
    names = ("shape", "spacing", "channels", "plane", "modality")
    return {name: facts.get(name) for name in names}


def display_window(volume: Volume) -> Window:
    """The window through which a study is displayed at first."""
    return Window.fit(volume.voxels)


def _details(volume: Volume) -> dict[str, Any]:
    grid = RasGrid(volume.shape, volume.affine)
    return {
        "shape": list(grid.shape),
        "spacing": [round(step, 6) for step in grid.spacing],
        "channels": volume.channels,
        "plane": PLANES.index(volume.plane),
        "modality": guess_modality(volume.voxels),
    }


def _thumbnail(study: Study, labels: NDArray[np.uint8] | None) -> bytes:
    from PIL import Image

    volume, plane = study.volume, study.volume.plane
    number = len(volume.pictures(plane)) // 2
    if labels is not None and labels.any():
        areas = (LabelMap(labels, volume.affine).pictures(plane) > 0).sum(axis=(1, 2))
        number = int(areas.argmax())
    if volume.channels == 3:
        picture = np.moveaxis(volume.pictures(plane)[number], 0, -1) / max(255.0, float(volume.voxels.max()))
    else:
        gray = volume if volume.channels == 1 else luminance(volume)
        picture = display_window(gray).apply(gray.pictures(plane)[number])
    if labels is not None:
        drawn = fill(picture, LabelMap(labels, volume.affine).pictures(plane)[number])
    else:
        drawn = plain(picture)
    row_mm, col_mm = volume.pixel_spacing(plane)
    height, width = drawn.shape[0] * row_mm, drawn.shape[1] * col_mm
    scale = _THUMBNAIL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    content = BytesIO()
    Image.fromarray(drawn).resize(size, Image.Resampling.BILINEAR).save(content, "PNG")
    return content.getvalue()
