"""What prediction reads in a file: modality, range, window, geometry and labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mvg.imaging.intensity import finite_sample, hounsfield_offset, in_hounsfield_units
from mvg.imaging.stated_modality import stated_modality, stated_patient
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window, is_ct
from mvg.prediction.prompts.pairs import PairReader, first_channel, windows_of
from mvg.prediction.prompts.prompt_set import PromptSet


@dataclass(frozen=True)
class FileFacts:
    """One image, and its labels if it is a prompt.

    role: "prompt" or "query"; known_by: how the modality is known; range: the lowest and the highest intensity; window:
    what becomes black and white; spacing in mm, shape and orientation along the array axes; labels: value -> ml;
    labeled_slices: how many of the slices show labels, None without a label map; patient: "" if unknown.
    """

    name: str
    role: str
    modality: str
    known_by: str
    range: tuple[float, float]
    window: tuple[float, float]
    plane: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str
    labels: dict[int, float]
    labeled_slices: int | None
    patient: str

    def lines(self) -> Iterator[str]:
        """The facts for people: a line with the image, and one with its labels."""
        patient = f", patient {self.patient}" if self.patient else ""
        yield (
            f"{self.role} {self.name}: {self.modality} ({self.known_by}), {_text(self.range, ' to ')}, window "
            f"{_text(self.window, ' to ')}, {self.plane}, {_text(self.shape)} voxels of {_text(self.spacing)} mm, "
            f"{self.orientation}{patient}"
        )
        if self.labeled_slices is not None:
            volumes = ", ".join(f"{value}: {milliliters:.3g} ml" for value, milliliters in self.labels.items())
            yield f"  labels {volumes or 'none'}; on {self.labeled_slices} slices"


def prompt_facts(reader: PairReader, number: int, patient: str) -> FileFacts:
    """The facts of a prompt pair."""
    pair, intensities = reader[number], reader.intensities
    known_by = "stated by the folder" if reader.pairs.modality else _evidence(pair.image, intensities.modality)
    labels, labeled = dict[int, float](), None
    if isinstance(pair.target, LabelMap):
        milliliters = float(np.prod(pair.target.spacing)) / 1000
        labels = {value: float((pair.target.voxels == value).sum() * milliliters) for value in pair.target.values}
        labeled = int(pair.target.pictures(pair.plane).any(axis=(1, 2)).sum())
    name = reader.pairs.names[number] if reader.pairs.names else str(number + 1)
    image = (name, "prompt", intensities.modality, known_by)
    return _facts(image, pair.image, pair.windows[0], (labels, labeled, patient or stated_patient(pair.image)))


def query_facts(name: str, image: Volume, prompts: PromptSet) -> FileFacts:
    """The facts of a query, windowed as the prompts are."""
    posed, modality = prompts.posed(image), prompts.modality_of(image)
    window = windows_of(posed, modality, prompts.ct_window)[0]
    known_by = _evidence(image, modality) if modality in ("CT", "other") else "that of the prompts"
    return _facts((name, "query", modality, known_by), posed, window, ({}, None, stated_patient(image)))


def _facts(
    named: tuple[str, str, str, str], image: Volume, window: Window, target: tuple[dict[int, float], int | None, str]
) -> FileFacts:
    extremes = float(image.voxels.min()), float(image.voxels.max())
    codes = "".join(image.axcodes)
    edges = float(window.low), float(window.high)
    return FileFacts(*named, extremes, edges, image.plane, image.shape, image.spacing, codes, *target)


def _evidence(image: Volume, modality: str) -> str:
    """How the modality of an image is known that nobody stated."""
    if stated_modality(image) is not None:
        return f"its file states {stated_modality(image)}"
    in_hu = in_hounsfield_units(image.voxels)
    if not is_ct(modality):
        return "as the prompts, although it looks like CT" if in_hu else "no air and soft tissue as in CT"
    if in_hu:
        return "air and soft tissue in HU"
    offset = hounsfield_offset(finite_sample(first_channel(image)))
    return "that of the prompts" if not offset else f"air and soft tissue, stored with {offset:+g}"


def _text(numbers: Sequence[float | int], between: str = " x ") -> str:
    return between.join(f"{number:.4g}" for number in numbers)
