"""Data sets and layouts on disk: one file each, with `recognizes(folder) -> bool` and `open(folder) -> DataSet`.

The file of a published set also has `SET`, a `mvg.data.layout.Published`; the set is read as it was downloaded.
`nnunet` is the layout for all other data and is used only when no published set recognizes the folder.
"""

import sys
from pathlib import Path

from mvg._plugins import contributions, named
from mvg.data.case import DataSet
from mvg.errors import FileError

_FALLBACK = "nnunet"


def open_set(name: str, folder: Path) -> DataSet:
    """Opens the set `name` in a folder.

    Raises UnknownNameError, which lists the known names, and FileError, which names the missing files.
    """
    data_set: DataSet = named(sys.modules[__name__], name).open(Path(folder))
    return data_set


def open_folder(folder: Path) -> DataSet:
    """Opens a folder as the only set or layout that recognizes it; FileError when there is none or more than one."""
    names = _recognized_in(folder)
    if len(names) > 1:
        raise FileError(f"{folder} holds several data sets, {' and '.join(names)}", "one", "name the set to open")
    return open_set(names[0], folder)


def sets_in(folder: Path) -> list[DataSet]:
    """Opens every data set in a folder; some downloads hold several. FileError when none is recognized."""
    return [open_set(name, folder) for name in _recognized_in(folder)]


def _recognized_in(folder: Path) -> list[str]:
    layouts = contributions(sys.modules[__name__])
    names = [name for name, layout in layouts.items() if name != _FALLBACK and layout.recognizes(folder)]
    if not names and layouts[_FALLBACK].recognizes(folder):
        return [_FALLBACK]
    if not names:
        raise FileError(
            f"{folder} {'holds no data set' if folder.is_dir() else 'is not a folder'}",
            f"one of {', '.join(layouts)} (nnunet: imagesTr/CASE_0000.*, labelsTr/CASE.*)",
            "check the path, or name the set to learn what is missing",
        )
    return names
