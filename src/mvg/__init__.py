"""mvg, a medical vision generalist: show a few example pairs, get the same done to new medical images.

    predictor = mvg.load("tiny")
    task = predictor.prompt(images, targets)      # Volumes, and LabelMaps or Volumes on the same grids
    answer = task(mvg.read("scan.nii.gz"))        # answer.volume lies on the scan's own grid
    mvg.write(answer.volume, "liver.nii.gz")

The names are loaded on first use: importing `mvg` is instant and does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvg.imaging.files import read, write
    from mvg.imaging.volume import LabelMap, Volume
    from mvg.prediction.predictor import load, load_task

__version__ = "0.1.0"
__all__ = ["LabelMap", "Volume", "__version__", "load", "load_task", "read", "write"]

_HOMES = {
    "LabelMap": "mvg.imaging.volume",
    "Volume": "mvg.imaging.volume",
    "load": "mvg.prediction.predictor",
    "load_task": "mvg.prediction.predictor",
    "read": "mvg.imaging.files",
    "write": "mvg.imaging.files",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mvg' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
