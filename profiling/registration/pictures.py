"""A picture of a registration: the moving, the fixed and the warped image, with the outlines of labels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mvg.imaging.overlay import outline
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window

_Labeled = tuple[Volume, LabelMap]


def draw(moving: _Labeled, fixed: _Labeled, warped: _Labeled, path: Path) -> None:
    """Write the middle slices of the three beside one another, the warped image also with the fixed labels, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    panels = [_panel(*moving), _panel(*fixed), _panel(*warped), _panel(warped[0], fixed[1])]
    rows = max(len(panel) for panel in panels)
    padded = [np.pad(panel, ((0, rows - len(panel)), (0, 4), (0, 0))) for panel in panels]
    Image.fromarray(np.concatenate(padded, axis=1)).save(path)


def _panel(image: Volume, labels: LabelMap) -> NDArray[np.uint8]:
    slices = image.pictures(image.plane)
    middle = len(slices) // 2
    return outline(Window.fit(image.voxels).apply(slices[middle]), labels.pictures(image.plane)[middle])
