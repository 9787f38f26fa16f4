"""Describes a data set before any image is read: its card, its cases and its split by patient."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mvg.errors import FileError

Split = Literal["train", "val"]
"""The split of a patient; "val" is held out from training and holds the test cases of the paper (Table 1)."""

# A label map, or (mask, label value) pairs: every voxel of the mask that is not 0 gets the label value.
LabelFiles = Path | tuple[tuple[Path, int], ...]

# Hashed before every patient's name. It was chosen so that also small public sets have about a fifth of their patients
# in "val". It must never change, or published scores would mix the two splits.
_SALT = "mvg-2510:"


def split_of(patient: str) -> Split:
    """The split of a patient when the owners of a set define none: "val" for about one in five, by md5."""
    return "val" if int(hashlib.md5((_SALT + patient).encode()).hexdigest(), 16) % 5 == 0 else "train"


@dataclass(frozen=True)
class Card:
    """Describes the contents and terms of a data set; which tasks it offers depends only on this.

    name: short and unique, the folder's name; title: the name to display.
    modality: "CT", "MRI", "ultrasound", "X-ray", ... or "other"; region: "brain", "abdomen", ... or "" if unknown.
    units: "HU" when images hold Hounsfield units, else "" (arbitrary intensities).
    channels: one name per registered image of a case; labels: value (1..255) -> name, without background.
    image_target: name of the target image, or None; image_task: the kind of task that predicts it
    ("denoising", "inpainting" or "synthesis"), "" without a target.
    patient: regular expression; its match at the start of a case's name is the patient.
    """

    name: str
    title: str
    modality: str
    region: str
    channels: tuple[str, ...]
    labels: dict[int, str] = field(default_factory=dict, hash=False)
    units: str = ""
    image_target: str | None = None
    image_task: str = ""
    patient: str = ".+"
    license: str = ""
    citation: str = ""
    note: str = ""

    @property
    def ignored(self) -> tuple[int, ...]:
        """Label values named "ignore" (as in nnU-Net): parts that nobody annotated, neither background nor a label."""
        return tuple(value for value, name in self.labels.items() if name == "ignore")

    def patient_of(self, case: str) -> str:
        """The patient of a case; raises FileError when the pattern does not match the case's name."""
        match = re.match(self.patient, case)
        if match is None or not match.group(0):
            raise FileError(
                f"case '{case}' of {self.name} does not match the pattern of patients, '{self.patient}'",
                "a match at the start of every case's name",
                "correct 'patient' in dataset.json",
            )
        return match.group(0)


@dataclass(frozen=True)
class Case:
    """One study: registered images (one path per channel), and a label map and an image target if there are any.

    owner_split: the split that the owners of the set define for it; None for sets without a split. annotated: the array
    indices of the slices that were labeled, across the thickest axis; None for all. written: pairs of label values, of
    files and of what they stand for, where regions overlap (`regions_class_order` of nnU-Net).
    """

    name: str
    patient: str
    images: tuple[Path, ...]
    labels: LabelFiles | None = None
    target: Path | None = None
    owner_split: Split | None = None
    annotated: tuple[int, ...] | None = None
    written: tuple[tuple[int, int], ...] = ()

    @property
    def split(self) -> Split:
        """The split of the owners if there is one, else that of `split_of`."""
        return self.owner_split or split_of(self.patient)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file (or DICOM folder) of the case."""
        labels = self.labels if isinstance(self.labels, tuple) else ((self.labels, 0),)
        return tuple(path for path in (*self.images, *(path for path, _ in labels), self.target) if path is not None)


@dataclass(frozen=True)
class DataSet:
    """A card and its cases, ordered by name; FileError when a patient is in both splits."""

    card: Card
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        splits: dict[str, Split] = {}
        for case in self.cases:
            if splits.setdefault(case.patient, case.split) != case.split:
                raise FileError(
                    f"patient '{case.patient}' of {self.card.name} has cases in both splits",
                    "each patient in one split",
                    "remove the patient's cases from one of the splits",
                )

    def of_split(self, split: Split) -> "DataSet":
        """The cases of one split; no patient is in both splits."""
        return replace(self, cases=tuple(case for case in self.cases if case.split == split))
