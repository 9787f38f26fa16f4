"""Finished answers as a raw data set of nnU-Net, to train a specialist on."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.data.regions import Region, renumbered_regions, written_values
from mvg.errors import FileError, GeometryError
from mvg.imaging.files import read_gray, read_labels, write
from mvg.imaging.lattice import onto_lattice, onto_whole
from mvg.imaging.segment_numbers import SegmentNumbers
from mvg.imaging.segments import has_segments
from mvg.imaging.volume import LabelMap
from mvg.imaging.window import guess_modality

_FOLDER = re.compile(r"Dataset\d{3}_.+")
_SAME_GRID = 0.1  # mm


@dataclass(frozen=True)
class AnsweredCase:
    """A case: its name, its image, and the label map that answers it; series: of the image, as `mvg.read` has it."""

    name: str
    image: Path
    labels: Path
    series: str = ""


def export_nnunet(
    cases: Sequence[AnsweredCase], folder: Path, names: Mapping[int, str], regions: Sequence[Region] = ()
) -> dict[int, int]:
    """Write imagesTr, labelsTr and dataset.json as NIfTI; returns the number that each label value got.

    nnU-Net wants labels without gaps, so they are numbered from 1 on. names: of label values, as far as they are known;
    segments of DICOM and of 3D Slicer are matched by their own names. regions: of the data set that the answers follow,
    where its classes overlap: the new one has the same regions. Raises FileError for a folder that is not called
    DatasetNNN_NAME or is not empty, for files that cannot be read or written, without any label, and for regions that
    label maps cannot show; GeometryError for a label map on another grid than its image.
    """
    if not _FOLDER.fullmatch(folder.name):
        raise FileError(
            f"a data set to be called '{folder.name}'", "DatasetNNN_NAME, such as Dataset501_Liver", "rename it"
        )
    if folder.exists() and any(folder.iterdir()):
        raise FileError(f"'{folder}' is not empty", "a new folder", "choose another name")
    segments = SegmentNumbers()
    values = sorted({value for case in cases for value in segments.apply(read_labels(case.labels)).values})
    if not values:
        raise FileError(f"no label in {len(cases)} answers", "a label in at least one of them", "choose other answers")
    values = sorted({*values, *(written for _, written in written_values(regions))})
    numbers = {value: number for number, value in enumerate(values, 1)}
    labels = _labels(numbers, segments.names | dict(names), regions)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as unfinished:
        written = Path(unfinished) / folder.name
        for part in ("imagesTr", "labelsTr"):
            (written / part).mkdir(parents=True)
        modalities = [_write_case(case, written, numbers, segments) for case in cases]
        _write_description(written, labels, "CT" if all(one == "CT" for one in modalities) else "image")
        if folder.exists():
            folder.rmdir()
        written.rename(folder)
    return numbers


def renumbered(labels: LabelMap, numbers: Mapping[int, int]) -> NDArray[np.unsignedinteger]:
    """The voxels of labels with new numbers, 0 elsewhere."""
    voxels: NDArray[np.unsignedinteger] = np.zeros(labels.shape, np.uint8 if len(numbers) < 256 else np.uint16)
    for value, number in numbers.items():
        voxels[labels.voxels == value] = number
    voxels.flags.writeable = False
    return voxels


def _write_case(case: AnsweredCase, folder: Path, numbers: Mapping[int, int], segments: SegmentNumbers) -> str:
    """Write one case; returns the modality of its image."""
    image, labels = read_gray(case.image, case.series), segments.apply(read_labels(case.labels))
    whole = onto_whole(labels, image, _SAME_GRID, 0) if has_segments(labels) else None
    reordered = onto_lattice(labels if whole is None else whole, image, _SAME_GRID)
    if reordered is None:
        raise GeometryError(
            f"'{case.labels}' lies on another grid than '{case.image}'", "an answer to this image", "pair them by name"
        )
    write(image, folder / "imagesTr" / f"{case.name}_0000.nii.gz")
    numbered = LabelMap(renumbered(reordered, numbers), image.affine, image.header)
    write(numbered, folder / "labelsTr" / f"{case.name}.nii.gz")
    return guess_modality(image.voxels)


def _labels(numbers: Mapping[int, int], names: Mapping[int, str], regions: Sequence[Region]) -> dict[str, Any]:
    """What dataset.json says of the labels: their names and numbers, and the order of regions where there are some."""
    if not regions:
        named = {names.get(value, f"label {value}"): number for value, number in numbers.items()}
        return {"labels": {"background": 0} | named}
    unknown = sorted(set(numbers) - {written for _, written in written_values(regions)})
    if unknown:
        raise FileError(f"the answers hold the label {unknown[0]}", "those of the regions", "leave --prompts out")
    try:
        return renumbered_regions(regions, numbers)
    except ValueError as error:
        raise FileError(str(error), "regions within each other", "leave --prompts out") from error


def _write_description(folder: Path, labels: Mapping[str, Any], channel: str) -> None:
    cases = len(list((folder / "labelsTr").iterdir()))
    description = {"channel_names": {"0": channel}, **labels, "numTraining": cases, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
