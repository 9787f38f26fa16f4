"""Data sets and layouts on disk: one file each, with `recognises(folder) -> bool` and `open(folder) -> DataSet`.

Published sets also have `SET`, a `mvg.data.layout.Published`, and are read as their owners hand them out. `nnunet` is
the layout for everything else: a folder is taken for it only where no published set recognises it.
"""

import sys
from pathlib import Path

from mvg._plugins import contributions, named
from mvg.data.case import DataSet
from mvg.errors import FileError

_ANY = "nnunet"


def open_set(name: str, folder: Path) -> DataSet:
    """The set of that name in a folder.

    Raises UnknownNameError, which lists the known names, and FileError, which says what the folder lacks.
    """
    found: DataSet = named(sys.modules[__name__], name).open(Path(folder))
    return found


def open_folder(folder: Path) -> DataSet:
    """The data set in a folder, by the set or layout that recognises it; FileError when none does, or several do."""
    found = _claimed_by(folder)
    if len(found) > 1:
        raise FileError(
            f"{folder} holds several data sets, {' and '.join(found)}", "one", "name the one that is wanted"
        )
    return open_set(found[0], folder)


def sets_in(folder: Path) -> list[DataSet]:
    """Every data set in a folder: one, or more where a download holds several; FileError when none is recognised."""
    return [open_set(name, folder) for name in _claimed_by(folder)]


def _claimed_by(folder: Path) -> list[str]:
    layouts = contributions(sys.modules[__name__])
    found = [name for name, layout in layouts.items() if name != _ANY and layout.recognises(folder)]
    if not found and layouts[_ANY].recognises(folder):
        return [_ANY]
    if not found:
        raise FileError(
            f"{folder} {'holds no data set' if folder.is_dir() else 'is not a folder'}",
            f"one of {', '.join(layouts)} (nnunet: imagesTr/CASE_0000.*, labelsTr/CASE.*)",
            "check the path, or name the set to learn what is missing",
        )
    return found
