"""NIfTI, whatever the query is."""

from pathlib import Path

from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction.output_files import write_volume
from mvg.prediction.output_formats import Output

NEEDS_DICOM = False


def suffix(query: Path, target_type: str, scale: Window | None) -> str:
    """Always .nii.gz."""
    return ".nii.gz"


def write(output: Output, path: Path) -> None:
    """Labels as integers, pictures as float32."""
    write_volume(output.volume, path, output.query, None)


def uncertainty_suffix(query: Path) -> str:
    """Of a picture in NIfTI."""
    return "_uncertainty.nii.gz"


def write_uncertainty(values: Volume, output: Output, path: Path) -> None:
    """As a picture."""
    write_volume(values, path, output.query, None)
