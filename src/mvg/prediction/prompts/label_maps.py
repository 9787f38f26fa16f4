"""Whether an image is a label map, where nobody says so."""

from mvg.errors import MvgError
from mvg.imaging.conversion import ImageLike, as_labels, as_volume
from mvg.imaging.volume import LabelMap

_FEW_VALUES = 32  # images with at most this many whole numbers are labels
_MAX_VALUES = 256
_MIN_FLAT = 0.8  # images with more values are labels where more than this share of foreground neighbors are equal


def label_map(image: ImageLike, name: str = "the image") -> LabelMap | None:
    """The image as labels, or None for a picture: labels are whole numbers, either few or in flat regions.

    (8-bit pictures are whole numbers too.) Raises what `as_volume` raises for an image that cannot be read.
    """
    try:
        labels = as_labels(image, name)
    except MvgError:
        as_volume(image, name)  # damaged files have their own message
        return None
    values = list(labels.counts)
    if len(values) <= _FEW_VALUES:
        return labels
    if len(values) > _MAX_VALUES or values[0] < 0:
        return None
    voxel, neighbor = labels.voxels[:-1], labels.voxels[1:]
    foreground = (voxel != 0) | (neighbor != 0)
    is_flat = bool(foreground.any()) and float((voxel == neighbor)[foreground].mean()) > _MIN_FLAT
    return labels if is_flat else None
