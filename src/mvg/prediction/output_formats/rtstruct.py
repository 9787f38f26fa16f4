"""Radiotherapy structure set (RTSTRUCT): outlines in each slice."""

from functools import partial
from pathlib import Path

from mvg.imaging.dicom.structure_set import write_structure_set
from mvg.imaging.window import Window
from mvg.prediction.output_formats import Output, check_labels
from mvg.prediction.output_formats._dicom import written_whole
from mvg.prediction.output_formats.dicom_seg import uncertainty_suffix as uncertainty_suffix  # as part of this format
from mvg.prediction.output_formats.dicom_seg import write_uncertainty as write_uncertainty

NEEDS_DICOM = True


def suffix(query: Path, target_type: str, scale: Window | None) -> str:
    """Labels alone have outlines."""
    check_labels("rtstruct", target_type)
    return "_rtstruct.dcm"


def write(output: Output, path: Path) -> None:
    """One region of interest per label; it refers to the images of the query."""
    written_whole(path, partial(write_structure_set, output.labels, output.terms, output.reference()))
