"""What the files of `data/sets` share: to search published folders, to say what they lack, and to split by patient."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mvg.data.case import Card, Case, DataSet, Split
from mvg.errors import FileError

# Hashed in front of every patient where we choose who is held out; it never changes.
_SALT = "mvg-table-1:"


@dataclass(frozen=True)
class Published:
    """A data set as its owners publish it.

    card: what it is, named as its file in `data/sets`. tree: what is read, in one line.
    access: where to get it and what must be done for that. split: who is held out, and how many, in one line.
    """

    card: Card
    tree: str
    access: str
    split: str

    def problem(self, found: str) -> FileError:
        """The one error of a folder that is not, or not all of, this set."""
        return FileError(found, f"the {self.card.title} as published, {self.tree}", f"complete it ({self.access})")

    def files(self, folder: Path, pattern: str) -> dict[str, Path]:
        """As `matching`; FileError where nothing matches."""
        found = matching(folder, pattern)
        if not found:
            lacks = "holds no case" if folder.is_dir() else "is missing"
            raise self.problem(f"'{folder}' {lacks}")
        return found

    def needed(self, path: Path) -> Path:
        """The path itself; FileError where nothing is there."""
        if not path.exists():
            raise self.problem(f"'{path}' is missing")
        return path

    def labelled(self, images: Path, pattern: str, labels: Path, called: str, split: Split | None = None) -> list[Case]:
        """A case per file of the folder `images` that matches, named by the pattern's first group.

        Its label map lies in the folder `labels` under the name `called`, in which {} stands for that group.
        FileError where either of the two is missing.
        """
        found = self.files(images, pattern)
        before, after = (re.escape(part) for part in called.split("{}"))
        alone = sorted(set(matching(labels, f"{before}(.+){after}")) - set(found))
        scans = {name for name in alone if re.fullmatch(pattern, _swapped(found, name))}
        if scans:
            raise self.problem(f"'{images}' lacks the image of '{labels / called.format(min(scans))}'")
        return [
            Case(
                name, self.card.patient_of(name), (path,), self.needed(labels / called.format(name)), owner_split=split
            )
            for name, path in found.items()
        ]

    def data_set(self, cases: Iterable[Case]) -> DataSet:
        """The set of these cases, ordered by name."""
        return DataSet(self.card, tuple(sorted(cases, key=lambda case: case.name)))


def _swapped(found: Mapping[str, Path], name: str) -> str:
    """What the image of case `name` would be called, after those that were found."""
    known, path = next(iter(found.items()))
    return path.name.replace(known, name)


def matching(folder: Path, pattern: str) -> dict[str, Path]:
    """First group of the pattern -> what in `folder` is called so from start to end, by name; empty without folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {match.group(1): path for path in paths if (match := re.fullmatch(pattern, path.name))}


def within(folder: Path, name: str, *ways: str) -> Path:
    """The first of `folder` and its subfolders `ways` that holds `name`; `folder` where none does.

    Archives wrap their content in folders, and either end of these may be handed over.
    """
    return next((folder / way for way in ("", *ways) if (folder / way / name).exists()), folder)


def held_out(cases: Sequence[Case], train: int, val: int) -> list[Case]:
    """The cases split at train : val, by patient, for sets whose owners and whose users name no split.

    On "val" are the patients whose names have the smallest md5: exactly the share of Table 1 where the set is complete,
    about that share of a part of it. With two patients or more, both splits have one.
    """
    patients = sorted({case.patient for case in cases}, key=_lot)
    count = round(len(patients) * val / (train + val))
    asked = set(patients[: max(1, count) if len(patients) > 1 else 0])
    return [replace(case, owner_split="val" if case.patient in asked else "train") for case in cases]


def drawn(patient: str, train: int, val: int) -> bool:
    """Whether a patient is held out at about train : val, by the md5 of the name alone: in every set alike."""
    return int(_lot(patient), 16) * (train + val) < val * 16**32


def by_patient(cases: Sequence[Case]) -> list[Case]:
    """The cases; a patient whom the owners put in both splits is in "val" with all cases, so that none leaks."""
    asked = {case.patient for case in cases if case.owner_split == "val"}
    return [replace(case, owner_split="val") if case.patient in asked else case for case in cases]


def _lot(patient: str) -> str:
    return hashlib.md5((_SALT + patient).encode()).hexdigest()
