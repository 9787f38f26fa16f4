"""DICOM segmentation (SEG) with one bit per voxel and segment, which every reader knows."""

from functools import partial
from pathlib import Path

from mvg.imaging.dicom.segmentation import write_parametric_map, write_segmentation
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.output_formats import Output, check_labels
from mvg.prediction.output_formats._dicom import written_whole

NEEDS_DICOM = True


def suffix(query: Path, target_type: str, scale: Window | None) -> str:
    """Labels alone have segments."""
    check_labels("dicom-seg", target_type)
    return "_seg.dcm"


def write(output: Output, path: Path) -> None:
    """One segment per label; it refers to the images of the query."""
    written_whole(path, partial(write_segmentation, output.labels, output.terms, output.reference()))


def uncertainty_suffix(query: Path) -> str:
    """Of a parametric map."""
    return "_uncertainty.dcm"


def write_uncertainty(values: Volume, output: Output, path: Path) -> None:
    """As a parametric map."""
    written_whole(path, partial(write_parametric_map, values, output.reference()))
