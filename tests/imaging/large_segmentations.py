"""Writes SEG and label-map SEG of 512 x 512 x 400 in every geometry, and compares what dcmqi reads from them.

python -m tests.imaging.large_segmentations [--shape 512 512 400] [--seed 0] [--output FILE.json]

The series of images is read, the labels are written by `write_segmentation` beside it, and dcmqi's segimage2itkimage
turns them into NRRD, whose voxels must be those of the labels at the same places of the patient. Prints a row for each
object and ends with exit code 1 where a voxel differs.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from mvg.benchmark.provenance import provenance
from mvg.imaging import LabelMap, Volume, read
from mvg.imaging.dicom.reference import reference_of
from mvg.imaging.dicom.segmentation import Kind, write_segmentation
from mvg.imaging.dicom.terms import terms_of
from tests.imaging.dicom_files import pydicom_file
from tests.imaging.dicom_readers import converted_by_dcmqi
from tests.imaging.test_dicom_output import GEOMETRIES, NAMES

_BLOCK = 8  # voxels of a side of the blocks that labels are made of
_KINDS: tuple[Kind, ...] = ("BINARY", "LABELMAP")
_VALUES = {"BINARY": {3: 1, 7: 2}, "LABELMAP": {3: 3, 7: 7}}  # what dcmqi gives the labels

Shape = tuple[int, int, int]


def main() -> int:
    """Runs the program; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 400))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    columns, rows, slices = options.shape
    shapes = dict.fromkeys(GEOMETRIES, (columns, rows, slices)) | {"one slice": (columns, rows, 1)}
    results = list[dict[str, Any]]()
    for geometry, shape in shapes.items():
        affine = GEOMETRIES.get(geometry, GEOMETRIES["oblique"])
        for row in compared(affine, shape, options.seed):
            results.append({"geometry": geometry, "shape": list(shape), **row})
            sys.stdout.write(json.dumps(results[-1]) + "\n")
            sys.stdout.flush()
    if options.output is not None:
        command = f"python -m tests.imaging.large_segmentations {' '.join(sys.argv[1:])}"
        result = {"provenance": provenance(command, options.seed), "rows": results}
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row["different"] for row in results) else 0


def compared(affine: NDArray[np.float64], shape: Shape, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each kind of object: how many voxels differ from what was written, seconds and size."""
    with tempfile.TemporaryDirectory(prefix="mvg-seg-") as name:
        folder = Path(name)
        source = write_blank_series(folder / "series", affine, shape)
        volume = read(source)
        labels = LabelMap(random_blocks(shape, seed), volume.affine)
        reference, terms = reference_of(source, "", shape), terms_of(labels.values, NAMES)
        for kind in _KINDS:
            path, start = folder / f"{kind.lower()}.dcm", time.monotonic()
            write_segmentation(labels, terms, reference, path, kind)
            seconds, start = time.monotonic() - start, time.monotonic()
            expected = np.zeros(shape, np.uint8)
            for value, number in _VALUES[kind].items():
                expected[labels.voxels == value] = number
            actual = merged(converted_by_dcmqi(path), volume)
            yield {
                "kind": kind,
                "labeled": int(np.count_nonzero(expected)),
                "different": int(np.count_nonzero(actual != expected)),
                "megabytes": round(path.stat().st_size / 1e6, 1),
                "write_seconds": round(seconds, 1),
                "dcmqi_seconds": round(time.monotonic() - start, 1),
                "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
            }


def write_blank_series(folder: Path, affine: NDArray[np.float64], shape: Shape) -> Path:
    """A CT series of this shape (X, Y, Z) whose slices differ in one voxel; file names are in reverse order."""
    folder.mkdir()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing, slices = np.linalg.norm(lps[:3, :3], axis=0), shape[2]
    dataset = pydicom.dcmread(pydicom_file("CT_small.dcm"))
    dataset.Columns, dataset.Rows = shape[:2]
    dataset.PixelSpacing = [round(spacing[1], 9), round(spacing[0], 9)]
    cosines = [*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1])]
    dataset.ImageOrientationPatient = [round(x, 9) for x in cosines]
    pixels = np.zeros(shape[1::-1], np.int16)
    for number in range(slices):
        pixels[0, 0] = number
        dataset.PixelData = pixels.tobytes()
        dataset.ImagePositionPatient = [round(x, 9) for x in lps[:3, 3] + number * lps[:3, 2]]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.InstanceNumber = number + 1
        dataset.save_as(folder / f"{slices - number}.dcm")
    return folder


def random_blocks(shape: Shape, seed: int) -> NDArray[np.uint8]:
    """Blocks of the labels 3 and 7 (a third of them each) with single voxels changed; some slices have no label."""
    generator = np.random.default_rng(seed)
    blocks = generator.choice(np.array([0, 3, 7], np.uint8), [-(-side // _BLOCK) for side in shape])
    for axis in range(3):
        blocks = blocks.repeat(_BLOCK, axis)
    voxels = blocks[: shape[0], : shape[1], : shape[2]].copy()
    changed = tuple(generator.integers(0, side, 100_000) for side in shape)
    voxels[changed] = generator.choice(np.array([0, 3, 7], np.uint8), 100_000)
    if shape[2] > 1:
        voxels[:, :, generator.random(shape[2]) < 0.1] = 0
    return voxels


def merged(files: list[Path], grid: Volume) -> NDArray[np.uint8]:
    """The voxels of label maps that cover parts of a grid, on the whole grid; 0 outside of them."""
    result = np.zeros(grid.shape, np.uint8)
    for file in files:
        part = read(file)
        to_grid = np.linalg.inv(grid.affine) @ part.affine
        turn = np.rint(to_grid[:3, :3]).astype(int)
        np.testing.assert_allclose(to_grid[:3, :3], turn, atol=1e-4)
        axes = np.abs(turn).argmax(axis=1)  # of the part, for each of the grid
        backward = turn[range(3), axes] < 0
        last = np.array(part.shape)[axes] - 1
        start = to_grid[:3, 3] - np.where(backward, last, 0)
        np.testing.assert_allclose(start, np.rint(start), atol=0.02)
        voxels = np.flip(part.voxels.transpose(axes), np.flatnonzero(backward)).astype(np.uint8)
        first = np.rint(start).astype(int)
        window = tuple(slice(at, at + side) for at, side in zip(first, voxels.shape, strict=True))
        result[window] = np.maximum(result[window], voxels)
    return result


if __name__ == "__main__":
    sys.exit(main())
