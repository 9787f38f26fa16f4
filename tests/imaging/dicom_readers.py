"""DICOM objects read by programs of others: dcmqi, dciodvfy and dcmrtstruct2nii."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mvg.imaging import LabelMap, Volume, read


def segments_by_dcmqi(path: Path, grid: Volume) -> NDArray[np.int32]:
    """The voxels (X, Y, Z) of a SEG on a grid, as dcmqi reads them: the values that it gives, 0 outside."""
    voxels = np.zeros(grid.shape, np.int32)
    for file in converted_by_dcmqi(path):
        voxels = np.maximum(voxels, on_grid(read(file), grid).astype(np.int32))
    return voxels


def converted_by_dcmqi(path: Path) -> list[Path]:
    """The NRRD files that dcmqi writes for a SEG."""
    folder = path.parent / f"{path.stem}_dcmqi"
    folder.mkdir()
    program = [str(Path(sys.executable).with_name("segimage2itkimage")), "--inputDICOM", str(path)]
    subprocess.run([*program, "--outputDirectory", str(folder), "-t", "nrrd"], check=True, capture_output=True)
    assert json.loads((folder / "meta.json").read_text())["SeriesDescription"].endswith("research use only")
    return sorted(folder.glob("*.nrrd"))


def parametric_map_by_dcmqi(path: Path, grid: Volume) -> NDArray[np.float32]:
    """The values (X, Y, Z) of a parametric map on a grid, as dcmqi reads them."""
    folder = path.parent / f"{path.stem}_dcmqi"
    folder.mkdir()
    program = [str(Path(sys.executable).with_name("paramap2itkimage")), "--inputDICOM", str(path)]
    subprocess.run([*program, "--outputDirectory", str(folder), "-t", "nrrd"], check=True, capture_output=True)
    return on_grid(read(folder / "pmap.nrrd"), grid)


def regions_by_dcmrtstruct2nii(path: Path, series: Path, grid: Volume) -> dict[str, NDArray[Any]]:
    """The masks (X, Y, Z) of a structure set on a grid by the names of its regions, as dcmrtstruct2nii fills them."""
    folder = path.parent / f"{path.stem}_masks"
    code = (
        "import sys, pydicom; pydicom.read_file = pydicom.dcmread; "  # the name that its version 5 still uses
        "from dcmrtstruct2nii import dcmrtstruct2nii; dcmrtstruct2nii(*sys.argv[1:], convert_original_dicom=False)"
    )
    arguments = [str(path), str(series), str(folder)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    masks = folder.glob("mask_*.nii.gz")
    return {file.name[5:-7]: on_grid(read(file), grid) > 0 for file in masks}


def on_grid(volume: Volume | LabelMap, grid: Volume) -> NDArray[Any]:
    """A volume of equal voxels that covers a part of a grid, on the whole grid; 0 outside of it."""
    to_grid = np.linalg.inv(grid.affine) @ volume.affine
    index = np.indices(volume.shape).reshape(3, -1)
    coordinates = to_grid[:3, :3] @ index + to_grid[:3, 3:]
    whole = np.rint(coordinates).astype(int)
    np.testing.assert_allclose(coordinates, whole, atol=0.02)
    inside = ((whole >= 0) & (whole < np.array(grid.shape)[:, None])).all(axis=0)
    values = volume.voxels.reshape(-1)
    assert not values[~inside].any()
    result = np.zeros(grid.shape, volume.voxels.dtype)
    result[tuple(whole[:, inside])] = values[inside]
    return result


def errors_of_dciodvfy(path: Path) -> list[str]:
    """What the validator dciodvfy calls errors."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("no dciodvfy; install it with: apt-get install dicom3tools")
    lines = subprocess.run([program, str(path)], check=False, capture_output=True, text=True).stderr.splitlines()
    return [line for line in lines if line.startswith("Error")]
