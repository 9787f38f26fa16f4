"""DICOM segmentation (SEG) that stores label values: one number per voxel, small and fast for many labels."""

from functools import partial
from pathlib import Path

from mvg.imaging.dicom.segmentation import write_segmentation
from mvg.imaging.window import Window
from mvg.prediction.output_formats import Output, check_labels
from mvg.prediction.output_formats._dicom import written_whole
from mvg.prediction.output_formats.dicom_seg import uncertainty_suffix as uncertainty_suffix  # as part of this format
from mvg.prediction.output_formats.dicom_seg import write_uncertainty as write_uncertainty

NEEDS_DICOM = True


def suffix(query: Path, target_type: str, scale: Window | None) -> str:
    """Labels alone have segments."""
    check_labels("dicom-labelmap", target_type)
    return "_seg.dcm"


def write(output: Output, path: Path) -> None:
    """One segment per label, numbered as the label; readers must know the label map form of 2024."""
    written_whole(path, partial(write_segmentation, output.labels, output.terms, output.reference(), kind="LABELMAP"))
