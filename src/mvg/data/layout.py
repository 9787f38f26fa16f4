"""Functions shared by the files of `data/sets`: search folders, report missing files, split by patient."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.errors import FileError

# Hashed before every patient's name where the owners define no split. It must never change.
_SALT = "mvg-table-1:"


@dataclass(frozen=True)
class Published:
    """A data set as its owners publish it.

    card: the description; its name is the name of the file in `data/sets`. tree: the files that are read, in one line.
    access: where and how to get the set. split: which patients are held out, and how many, in one line.
    """

    card: Card
    tree: str
    access: str
    split: str

    def incomplete(self, message: str) -> FileError:
        """The error for a folder that does not hold this set, or only a part of it."""
        return FileError(message, f"the {self.card.title} as published, {self.tree}", f"complete it ({self.access})")

    def files(self, folder: Path, pattern: str) -> dict[str, Path]:
        """As `paths_matching`; FileError when nothing matches."""
        files = paths_matching(folder, pattern)
        if not files:
            lacks = "holds no case" if folder.is_dir() else "is missing"
            raise self.incomplete(f"'{folder}' {lacks}")
        return files

    def require(self, path: Path) -> Path:
        """Returns the path; FileError when it does not exist."""
        if not path.exists():
            raise self.incomplete(f"'{path}' is missing")
        return path

    def labeled_cases(
        self, images: Path, pattern: str, labels: Path, label_name: str, split: Split | None = None
    ) -> list[Case]:
        """One case for each file in the folder `images` that matches; the pattern's first group is its name.

        Its label map is in the folder `labels` and has the file name `label_name`, where {} stands for that group.
        FileError when an image or a label map is missing.
        """
        files = self.files(images, pattern)
        before, after = (re.escape(part) for part in label_name.split("{}"))
        without_image = sorted(set(paths_matching(labels, f"{before}(.+){after}")) - set(files))
        scans = {name for name in without_image if re.fullmatch(pattern, _image_name(files, name))}
        if scans:
            raise self.incomplete(f"'{images}' lacks the image of '{labels / label_name.format(min(scans))}'")
        return [
            Case(
                name,
                self.card.patient_of(name),
                (path,),
                self.require(labels / label_name.format(name)),
                owner_split=split,
            )
            for name, path in files.items()
        ]

    def data_set(self, cases: Iterable[Case]) -> DataSet:
        """The set of these cases, ordered by name."""
        return DataSet(self.card, tuple(sorted(cases, key=lambda case: case.name)))


def _image_name(files: Mapping[str, Path], name: str) -> str:
    """The file name of the image of case `name`, by the pattern of the other files."""
    other_name, path = next(iter(files.items()))
    return path.name.replace(other_name, name)


def paths_matching(folder: Path, pattern: str) -> dict[str, Path]:
    """First group of the pattern -> path, for each entry of `folder` whose whole name matches; {} without a folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {match.group(1): path for path in paths if (match := re.fullmatch(pattern, path.name))}


def folder_with(folder: Path, name: str, *subfolders: str) -> Path:
    """The first of `folder` and its `subfolders` that holds `name`; `folder` when none does.

    Archives wrap their content in folders; users may give the outer or the inner folder.
    """
    return next((folder / path for path in ("", *subfolders) if (folder / path / name).exists()), folder)


def split_by_ratio(cases: Sequence[Case], train: int, val: int) -> list[Case]:
    """Splits the cases at train : val by patient, for sets without a published split.

    The patients with the smallest md5 of their name are in "val". The ratio is exactly that of Table 1 when the set is
    complete, and about that when it is not. With two or more patients, no split is empty.
    """
    patients = sorted({case.patient for case in cases}, key=_digest)
    count = round(len(patients) * val / (train + val))
    patients_of_val = set(patients[: max(1, count) if len(patients) > 1 else 0])
    return [replace(case, owner_split="val" if case.patient in patients_of_val else "train") for case in cases]


def is_held_out(patient: str, train: int, val: int) -> bool:
    """Whether a patient is in "val", at about train : val.

    Only the md5 of the name decides, so that a patient is in the same split of every set.
    """
    return int(_digest(patient), 16) * (train + val) < val * 16**32


def keep_patients_together(cases: Sequence[Case]) -> list[Case]:
    """Moves all cases of a patient to "val" when the owners put the patient in both splits, so that none leaks."""
    patients_of_val = {case.patient for case in cases if case.owner_split == "val"}
    return [replace(case, owner_split="val") if case.patient in patients_of_val else case for case in cases]


def _digest(patient: str) -> str:
    return hashlib.md5((_SALT + patient).encode()).hexdigest()
