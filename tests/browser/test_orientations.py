"""What is painted in the browser lies in the exported file on the very voxels that were under the pointer."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.browser.bench_page import BenchPage
from tests.browser.conftest import ORIENTATIONS, native_index
from tests.browser.server_process import ServerProcess

# Points in the axial picture at the left, and in the two others at the right.
POINTS = ((0.22, 0.35), (0.41, 0.62), (0.30, 0.55), (0.80, 0.20), (0.85, 0.30), (0.79, 0.80), (0.86, 0.70))


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_voxels_under_the_pointer_are_the_voxels_of_the_file(
    axes: str, bench: BenchPage, server: ServerProcess, folder: Path, tmp_path: Path
) -> None:
    image = nibabel.load(folder / f"{axes}.nii.gz")
    native, voxels = native_index(image), np.asarray(image.dataobj)
    bench.open(server.new_task("Points", "one", "two"), server.studies()[axes])
    bench.keys("b", *["["] * 12)  # a brush of one voxel

    expected = np.zeros(image.shape, np.uint8)
    for number, point in enumerate(POINTS):
        label = number % 2 + 1
        bench.keys(str(label))
        pointed = bench.click(*point)
        bench.saved()
        where = native[pointed.voxel]
        assert float(pointed.intensity) == pytest.approx(float(voxels.reshape(-1)[where]), rel=1e-3)
        expected.reshape(-1)[where] = label
    assert np.count_nonzero(expected) == len(POINTS)

    exported = nibabel.load(bench.export("Labels of this study", tmp_path))
    np.testing.assert_allclose(exported.affine, image.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(exported.dataobj), expected)


def test_the_picture_is_where_the_pointer_says(bench: BenchPage, server: ServerProcess, tmp_path: Path) -> None:
    """A picture that is drawn mirrored would be painted on the wrong side. Intensities grow along each axis."""
    bench.open(server.new_task("Points", "one"), server.studies()["ramp"])
    points = [(across, down) for across in (0.16, 0.24, 0.37, 0.45) for down in (0.2, 0.33, 0.42, 0.58, 0.7, 0.8)]
    points += [(across, down) for across in (0.74, 0.79, 0.9) for down in (0.12, 0.18, 0.32, 0.62, 0.68, 0.82)]
    intensities = [float(bench.point(*point).intensity) for point in points]
    pixels = bench.screenshot(tmp_path / "bench.png")
    positions = [bench.at(*point) for point in points]
    brightness = [float(pixels[round(position["y"]), round(position["x"])]) for position in positions]
    assert np.corrcoef(intensities, brightness)[0, 1] > 0.98
