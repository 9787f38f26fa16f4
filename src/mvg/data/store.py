"""Prepared slices on disk: written once by `prepare`, read through memory maps by any number of processes.

    OUTPUT/SET/images.npy    (n, C, S, S) uint16: [0, 1] scaled to 65535, one Window per volume and channel
    OUTPUT/SET/labels.npy    (n, S, S) uint8, where the set has label maps
    OUTPUT/SET/targets.npy   (n, S, S) uint16, where the set has image targets
    OUTPUT/SET/slices.json   the card, and per case its patient, split, windows, pixel spacing, ...; written
                             last: a set with this file is complete
    OUTPUT/SET/parts/        finished cases of an unfinished set, from which an interrupted run continues

Sets may also be shards, which `mvg.data.shards` describes; they are read by the same classes, also from a URL.
S is the set's largest picture side rounded up to a multiple of 16, at most 512; smaller pictures are padded with 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg._remote import Address, address_of, is_url, public, subfolders_with
from mvg.data.case import Card, Split, split_of
from mvg.data.shards import ShardReader
from mvg.data.store_index import INDEX, read_index
from mvg.errors import FileError
from mvg.imaging.frame import Box
from mvg.imaging.volume import Plane
from mvg.imaging.window import FULL_SCALE, Window

STORED_BACKGROUND = FULL_SCALE // 8
"""Brighter pixels of a stored picture show something; in the full window of CT that is above -500 HU."""
_STEP = np.float32(1 / FULL_SCALE)


@dataclass(frozen=True)
class SliceRow:
    """The entry of one slice in the index.

    number: index in the arrays; case, patient: names; index: position in the volume of `count` slices along `plane`.
    windows, target_window: convert [0, 1] to raw intensities; spacing: (row, column) mm of a stored pixel.
    box: the part of the square that holds the picture; has_labels: whether the slice was annotated as a whole;
    label_values: those in the slice. foreground_fraction: fraction of the picture brighter than background; split: of
    the patient.
    """

    number: int
    case: str
    patient: str
    index: int
    count: int
    plane: Plane
    windows: tuple[Window, ...]
    target_window: Window | None
    spacing: tuple[float, float]
    box: Box
    has_labels: bool
    label_values: tuple[int, ...]
    foreground_fraction: float
    split: Split

    @property
    def position(self) -> float:
        """The position of the slice in its volume, in (0, 1)."""
        return (self.index + 0.5) / self.count


@dataclass(frozen=True, eq=False)
class StoredSlice:
    """One prepared slice: images (C, s, s) and target (s, s) uint16 of [0, 1] * 65535, labels (s, s) uint8.

    `crop` keeps the slice in `uncropped` and the position of the crop in `top` and `left`, because the noise of a CT
    depends on the whole body.
    """

    card: Card
    row: SliceRow
    images: NDArray[np.uint16]
    labels: NDArray[np.uint8] | None
    target: NDArray[np.uint16] | None
    uncropped: "StoredSlice | None" = None
    top: int = 0
    left: int = 0

    def picture(self, channel: int) -> NDArray[np.float32]:
        """One channel (s, s) in [0, 1], in the window in which it is stored."""
        return _as_float(self.images[channel])

    def raw(self, channel: int) -> NDArray[np.float32]:
        """One channel (s, s) in the units of its file: HU for a card in HU."""
        return self.row.windows[channel].invert(self.picture(channel))

    def target_picture(self) -> NDArray[np.float32]:
        """The image target (s, s) in [0, 1], in the window in which it is stored."""
        assert self.target is not None, "only for slices with an image target"
        return _as_float(self.target)

    def raw_target(self) -> NDArray[np.float32]:
        """The image target (s, s) in the units of its file."""
        assert self.row.target_window is not None, "only for slices with an image target"
        return self.row.target_window.invert(self.target_picture())

    def crop(self, top: int, left: int, size: int) -> "StoredSlice":
        """The square of `size` pixels from row `top` and column `left` on; it must lie inside this slice."""
        index = (..., slice(top, top + size), slice(left, left + size))
        cropped = replace(
            self,
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            target=None if self.target is None else self.target[index],
            uncropped=self.uncropped or self,
            top=self.top + top,
            left=self.left + left,
        )
        assert cropped.images.shape[-2:] == (size, size), "the crop lies inside the slice"
        return cropped

    def random_crop(self, size: int, rng: np.random.Generator) -> "StoredSlice":
        """A random square of `size` pixels centered on foreground; the slice itself when it is not larger."""
        side = self.images.shape[-1]
        if side <= size:
            return self
        foreground = np.argwhere(self.images[0, ::8, ::8] > STORED_BACKGROUND)
        middle = rng.choice(foreground) * 8 if len(foreground) else np.array([side // 2, side // 2])
        top, left = np.clip(middle + rng.integers(-4, 5, 2) - size // 2, 0, side - size)
        return self.crop(int(top), int(left), size)


class StoredSet:
    """All prepared slices of one data set: a sequence of StoredSlice. Cheap to pickle; arrays open on first use.

    Safe to read from several threads.

    card: the description of the set; side: side of the stored squares in pixels; rows: one SliceRow per slice.
    """

    def __init__(self, folder: Address) -> None:
        """Opens OUTPUT/SET, also at a URL; raises FileError when it is incomplete or has another format version."""
        self.folder = address_of(folder)
        index = read_index(self.folder)
        self.side: int = index["side"]
        card = index["card"]
        labels = {int(value): name for value, name in card["labels"].items()}
        self.card = Card(**{**card, "labels": labels, "channels": tuple(card["channels"])})
        self.rows: tuple[SliceRow, ...] = _rows(index["cases"], self.card.ignored)
        self._arrays: list[str] = index["arrays"]
        self.shards = ShardReader.of(self.folder, index["shards"]) if "shards" in index else None

    def __reduce__(self) -> tuple[Callable[[Address], "StoredSet"], tuple[Address]]:
        return StoredSet, (self.folder,)

    @property
    def folder_name(self) -> str:
        """The name of its folder, which is that of the set."""
        return str(self.folder).replace("\\", "/").rpartition("/")[2]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> StoredSlice:
        row = self.rows[number]
        layers = self._layers(row.number) if self.shards is None else self.shards.read(row.number)
        labels = layers.get("labels") if row.has_labels else None
        target = layers.get("targets") if row.target_window is not None else None
        return StoredSlice(self.card, row, layers["images"], labels, target)

    def _layers(self, number: int) -> dict[str, NDArray[Any]]:
        """The layers of one slice in the memory maps."""
        arrays = (("images", self.images), ("labels", self.labels), ("targets", self.targets))
        return {name: array[number] for name, array in arrays if array is not None}

    def numbers(self, split: Split) -> NDArray[np.int64]:
        """The numbers of the slices of one split ("train" or "val")."""
        return np.array([row.number for row in self.rows if row.split == split], np.int64)

    @cached_property
    def images(self) -> NDArray[np.uint16]:
        """(n, C, S, S) uint16, read-only, memory mapped."""
        return self._map("images.npy")

    @cached_property
    def labels(self) -> NDArray[np.uint8] | None:
        """(n, S, S) uint8, read-only, memory mapped; None where the set has no label maps."""
        return self._map("labels.npy") if "labels.npy" in self._arrays else None

    @cached_property
    def targets(self) -> NDArray[np.uint16] | None:
        """(n, S, S) uint16, read-only, memory mapped; None where the set has no image targets."""
        return self._map("targets.npy") if "targets.npy" in self._arrays else None

    def _map(self, name: str) -> NDArray[Any]:
        path = Path(self.folder) / name
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FileError(f"{path} cannot be read ({error})", "a prepared array", "prepare the set again") from error
        if len(array) != len(self.rows):
            raise FileError(
                f"{path} holds {len(array)} slices",
                f"{len(self.rows)}, the number in {INDEX}",
                "prepare the set again",
            )
        return np.asarray(array)


@dataclass(frozen=True)
class Store:
    """A folder of prepared sets; sets: name -> StoredSet, in alphabetical order."""

    folder: Address
    sets: dict[str, StoredSet]

    @classmethod
    def open(cls, folder: Address) -> "Store":
        """Opens what `prepare` or `write_shards` wrote; raises FileError when it is missing, empty or half prepared."""
        folders = subfolders_with(folder, INDEX)
        parts = [] if is_url(folder) else Path(folder).glob("*/parts")
        unfinished = sorted(path.parent.name for path in parts if path.parent not in folders)
        if unfinished or not folders:
            state = f"is half prepared: {', '.join(unfinished)}" if unfinished else "holds no prepared set"
            raise FileError(
                f"{public(folder)} {state}",
                f"folders with {INDEX}, as 'mvg prepare' writes them",
                f"run 'mvg prepare FOLDER... --output {public(folder)}' (it continues where it stopped)",
            )
        return cls(folder, {stored.folder_name: stored for stored in map(StoredSet, folders)})


def _as_float(stored: NDArray[np.uint16]) -> NDArray[np.float32]:
    scaled = np.asarray(stored, np.float32)
    scaled *= _STEP
    return scaled


def _rows(cases: list[dict[str, Any]], ignored: Sequence[int]) -> tuple[SliceRow, ...]:
    rows: list[SliceRow] = []
    for case in cases:
        windows = tuple(Window(*edges) for edges in case["windows"])
        target_window = Window(*case["target_window"]) if case["target_window"] else None
        unannotated = _unannotated(case, ignored)
        for index in range(case["count"]):
            has_labels = case["labelled"] and index not in unannotated
            label_values = tuple(case["present"][index]) if has_labels else ()
            rows.append(
                SliceRow(
                    number=len(rows),
                    case=case["name"],
                    patient=case["patient"],
                    index=index,
                    count=case["count"],
                    plane=case["plane"],
                    windows=windows,
                    target_window=target_window,
                    spacing=tuple(case["spacing"]),
                    box=Box(*case["box"]),
                    has_labels=has_labels,
                    label_values=label_values,
                    foreground_fraction=case["filled"][index],
                    split=case.get("split") or split_of(case["patient"]),  # older stores have no split
                )
            )
    return tuple(rows)


def _unannotated(case: dict[str, Any], ignored: Sequence[int]) -> set[int]:
    """The slices of a case that teach no labels, because a part of them was not annotated.

    Older stores keep the ignored values in their label maps instead of these slices.
    """
    partial = {index for index, values in enumerate(case["present"]) if set(values) & set(ignored)}
    return partial | set(case.get("unannotated", ()))
