"""Data sets of nnU-Net by their id or name, in the folder that `nnUNet_raw` names."""

import os
import re
from pathlib import Path

from mvg.errors import FileError, UnknownNameError

_VARIABLE = "nnUNet_raw"
_NAME = re.compile(r"Dataset(\d+)_(.+)")


def dataset_folder(name: str) -> Path:
    """The folder of a data set: by id (4, 004), by name (Heart), or by both (Dataset004_Heart).

    Raises FileError where `nnUNet_raw` names no folder, UnknownNameError for another data set.
    """
    root = os.environ.get(_VARIABLE, "")
    if not root or not Path(root).is_dir():
        raise FileError(
            f"no folder '{root}' in the environment variable {_VARIABLE}" if root else f"no {_VARIABLE} is set",
            "the folder of nnU-Net's raw data sets",
            f"set {_VARIABLE}, or name the data set's folder with --prompts",
        )
    folders = {folder.name: folder for folder in sorted(Path(root).iterdir()) if _NAME.fullmatch(folder.name)}
    for folder_name, folder in folders.items():
        number, title = _NAME.fullmatch(folder_name).groups()  # type: ignore[union-attr]
        if name in (folder_name, title) or (name.isdecimal() and int(name) == int(number)):
            return folder
    raise UnknownNameError(f"data set in {root}", name, folders or ["none: the folder is empty"])
