"""Images with as many channels as the weights take: one, the colors of a picture, or several contrasts of one study."""

import re
from pathlib import Path

import numpy as np

from mvg.errors import FileError, GeometryError
from mvg.imaging.files import read, read_gray, stem_of
from mvg.imaging.volume import Volume

_FIRST_CHANNEL = re.compile(r"_0000$")


def read_channels(path: Path, inputs: int, series: str = "") -> Volume:
    """Read the image of a prompt or a query for weights that take `inputs` images.

    One input: the image, of a picture in color its luminance. Several: the colors of a picture, or the channels
    CASE_0000.*, CASE_0001.*, ... beside one another (nnU-Net's names), of which `path` is the first.
    series: of DICOM, see `mvg.read`. Raises FileError for a channel that is missing, GeometryError for channels on
    different grids.
    """
    if inputs == 1:
        return read_gray(path, series)
    stem = stem_of(path)
    if not _FIRST_CHANNEL.search(stem):
        return read(path, series)
    first = read(path)
    channels = [first]
    for number in range(1, inputs):
        sibling = path.with_name(path.name.replace(stem, _FIRST_CHANNEL.sub(f"_{number:04d}", stem), 1))
        if not sibling.exists():
            raise FileError(
                f"no file '{sibling}'", f"{inputs} channels, as many as the weights take", "add the channel"
            )
        channel = read(sibling)
        if not channel.same_grid(first):
            raise GeometryError(
                f"'{sibling.name}' lies on another grid than '{path.name}'", "channels on one grid", "resample them"
            )
        channels.append(channel)
    return Volume(np.stack([channel.voxels for channel in channels], axis=-1), first.affine, first.header)
