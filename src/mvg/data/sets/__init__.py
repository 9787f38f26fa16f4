"""Layouts of data on disk: one file each, with `recognises(folder) -> bool` and `open(folder) -> DataSet`."""

import sys
from pathlib import Path

from mvg._plugins import contributions
from mvg.data.case import DataSet
from mvg.errors import FileProblem


def open_folder(folder: Path) -> DataSet:
    """The data set in a folder, by the first layout that recognises it; raises FileProblem when none does."""
    layouts = contributions(sys.modules[__name__])
    for layout in layouts.values():
        if layout.recognises(folder):
            found: DataSet = layout.open(folder)
            return found
    raise FileProblem(
        f"{folder} {'holds no data set' if folder.is_dir() else 'is not a folder'}",
        f"one of the layouts {', '.join(layouts)} (nnunet: imagesTr/CASE_0000.*, labelsTr/CASE.*)",
        "check the path",
    )
