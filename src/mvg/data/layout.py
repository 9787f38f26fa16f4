"""What the files of `data/sets` share: search published folders, report what is missing, split by patient."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.errors import FileError

# Hashed before every patient's name where we choose the split; it never changes.
_SALT = "mvg-table-1:"


@dataclass(frozen=True)
class Published:
    """A data set as its owners publish it.

    card: its description, with the name of its file in `data/sets`. tree: the files that are read, in one line.
    access: where and how to get it. split: which patients are held out, and how many, in one line.
    """

    card: Card
    tree: str
    access: str
    split: str

    def incomplete(self, message: str) -> FileError:
        """The error for a folder that does not hold this set, or only a part of it."""
        return FileError(message, f"the {self.card.title} as published, {self.tree}", f"complete it ({self.access})")

    def files(self, folder: Path, pattern: str) -> dict[str, Path]:
        """As `matching`; FileError where nothing matches."""
        files = matching(folder, pattern)
        if not files:
            lacks = "holds no case" if folder.is_dir() else "is missing"
            raise self.incomplete(f"'{folder}' {lacks}")
        return files

    def existing(self, path: Path) -> Path:
        """The path itself; FileError where nothing is there."""
        if not path.exists():
            raise self.incomplete(f"'{path}' is missing")
        return path

    def labeled(self, images: Path, pattern: str, labels: Path, called: str, split: Split | None = None) -> list[Case]:
        """A case per file of the folder `images` that matches, named by the pattern's first group.

        Its label map lies in the folder `labels` under the name `called`, in which {} stands for that group.
        FileError where either of the two is missing.
        """
        files = self.files(images, pattern)
        before, after = (re.escape(part) for part in called.split("{}"))
        alone = sorted(set(matching(labels, f"{before}(.+){after}")) - set(files))
        scans = {name for name in alone if re.fullmatch(pattern, _image_name(files, name))}
        if scans:
            raise self.incomplete(f"'{images}' lacks the image of '{labels / called.format(min(scans))}'")
        return [
            Case(
                name,
                self.card.patient_of(name),
                (path,),
                self.existing(labels / called.format(name)),
                owner_split=split,
            )
            for name, path in files.items()
        ]

    def data_set(self, cases: Iterable[Case]) -> DataSet:
        """The set of these cases, ordered by name."""
        return DataSet(self.card, tuple(sorted(cases, key=lambda case: case.name)))


def _image_name(files: Mapping[str, Path], name: str) -> str:
    """The file name of the image of case `name`, by the pattern of the other files."""
    known, path = next(iter(files.items()))
    return path.name.replace(known, name)


def matching(folder: Path, pattern: str) -> dict[str, Path]:
    """First group of the pattern -> path, for all entries of `folder` whose whole name matches; {} without a folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {match.group(1): path for path in paths if (match := re.fullmatch(pattern, path.name))}


def within(folder: Path, name: str, *ways: str) -> Path:
    """The first of `folder` and its subfolders `ways` that holds `name`; `folder` where none does.

    Archives wrap their content in folders, and either end of these may be handed over.
    """
    return next((folder / way for way in ("", *ways) if (folder / way / name).exists()), folder)


def held_out(cases: Sequence[Case], train: int, val: int) -> list[Case]:
    """The cases split at train : val, by patient, for sets without a published split.

    The patients with the smallest md5 of their name are in "val": exactly the ratio of Table 1 where the set is
    complete, about that ratio in a part of it. With two patients or more, both splits have one.
    """
    patients = sorted({case.patient for case in cases}, key=_digest)
    count = round(len(patients) * val / (train + val))
    patients_of_val = set(patients[: max(1, count) if len(patients) > 1 else 0])
    return [replace(case, owner_split="val" if case.patient in patients_of_val else "train") for case in cases]


def is_held_out(patient: str, train: int, val: int) -> bool:
    """Whether a patient is in "val" at about train : val, by the md5 of the name alone: the same in every set."""
    return int(_digest(patient), 16) * (train + val) < val * 16**32


def by_patient(cases: Sequence[Case]) -> list[Case]:
    """The cases; a patient whom the owners put in both splits is in "val" with all cases, so that none leaks."""
    patients_of_val = {case.patient for case in cases if case.owner_split == "val"}
    return [replace(case, owner_split="val") if case.patient in patients_of_val else case for case in cases]


def _digest(patient: str) -> str:
    return hashlib.md5((_SALT + patient).encode()).hexdigest()
