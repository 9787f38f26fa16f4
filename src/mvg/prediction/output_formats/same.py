"""The query's own format: of DICOM a segmentation for labels, and for pictures a new series of the study."""

from functools import partial
from pathlib import Path

from mvg._atomic import atomic_folder, unwritable
from mvg.imaging.dicom.derived import write_derived_series
from mvg.imaging.files import suffix_of
from mvg.imaging.formats import LOSSY
from mvg.imaging.volume import LabelMap, Volume
from mvg.imaging.window import Window
from mvg.prediction.output_files import PICTURE_SUFFIXES, fits_picture, write_volume
from mvg.prediction.output_formats import Output, dicom_seg, is_export, nifti

NEEDS_DICOM = False


def suffix(query: Path, target_type: str, scale: Window | None) -> str:
    """That of the query.

    Exceptions: labels for JPEG, which would spoil them, become .png; pictures on a `scale` that the query's format
    cannot hold become .tif; pictures for DICOM become a folder.
    """
    if is_export(query):
        return dicom_seg.suffix(query, target_type, scale) if target_type == "labels" else "_series"
    suffix_of_query = suffix_of(query)
    if suffix_of_query in LOSSY and target_type == "labels":
        return ".png"
    if suffix_of_query in PICTURE_SUFFIXES and scale is not None and not fits_picture(suffix_of_query, scale):
        return ".tif"
    return query.name[len(query.name) - len(suffix_of_query) :]


def write(output: Output, path: Path) -> None:
    """In the format that the suffix names, or a folder of DICOM images."""
    if not is_export(output.path):
        write_volume(output.volume, path, output.query, output.scale)
    elif isinstance(output.volume, LabelMap):
        dicom_seg.write(output, path)
    else:
        with atomic_folder(path, partial(unwritable, path)) as folder:
            write_derived_series(output.volume, output.reference(), folder)


def uncertainty_suffix(query: Path) -> str:
    """Of a parametric map for DICOM, else of NIfTI."""
    return dicom_seg.uncertainty_suffix(query) if is_export(query) else nifti.uncertainty_suffix(query)


def write_uncertainty(values: Volume, output: Output, path: Path) -> None:
    """As a parametric map for DICOM, else as NIfTI."""
    (dicom_seg if is_export(output.path) else nifti).write_uncertainty(values, output, path)
