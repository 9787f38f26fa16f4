"""Data sets and layouts on disk: one file each, with `recognises(folder) -> bool` and `open(folder) -> DataSet`.

Published sets also have `SET`, a `mvg.data.layout.Published`, and are read in the layout of their download. `nnunet` is
the layout for all other data: it is used only where no published set recognises the folder.
"""

import sys
from pathlib import Path

from mvg._plugins import contributions, named
from mvg.data.case import DataSet
from mvg.errors import FileError

_ANY = "nnunet"


def open_set(name: str, folder: Path) -> DataSet:
    """The set of that name in a folder.

    Raises UnknownNameError, which lists the known names, and FileError, which names what is missing.
    """
    data_set: DataSet = named(sys.modules[__name__], name).open(Path(folder))
    return data_set


def open_folder(folder: Path) -> DataSet:
    """The data set in a folder, by the set or layout that recognises it; FileError when none does, or several do."""
    names = _claimed_by(folder)
    if len(names) > 1:
        raise FileError(f"{folder} holds several data sets, {' and '.join(names)}", "one", "name the set to open")
    return open_set(names[0], folder)


def sets_in(folder: Path) -> list[DataSet]:
    """Every data set in a folder: one, or more where a download holds several; FileError when none is recognised."""
    return [open_set(name, folder) for name in _claimed_by(folder)]


def _claimed_by(folder: Path) -> list[str]:
    layouts = contributions(sys.modules[__name__])
    names = [name for name, layout in layouts.items() if name != _ANY and layout.recognises(folder)]
    if not names and layouts[_ANY].recognises(folder):
        return [_ANY]
    if not names:
        raise FileError(
            f"{folder} {'holds no data set' if folder.is_dir() else 'is not a folder'}",
            f"one of {', '.join(layouts)} (nnunet: imagesTr/CASE_0000.*, labelsTr/CASE.*)",
            "check the path, or name the set to learn what is missing",
        )
    return names
