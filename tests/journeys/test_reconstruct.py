"""`mvg degrade`, `mvg measure` and `mvg reconstruct` from files to files."""

from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import read, write
from tests.journeys.conftest import Run
from tests.tasks.test_measurement import clean, fast_mri


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two complete images, and another one."""
    for name in ("one", "two"):
        write(clean("kspace"), tmp_path / "complete" / f"{name}.nii.gz")
    write(clean("kspace"), tmp_path / "query.nii.gz")
    return tmp_path


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    (tmp_path / "complete").mkdir()


def test_pairs_are_made_of_clean_images_and_serve_as_prompts(run: Run, images: Path) -> None:
    result = run("degrade", "super_resolution", *sorted((images / "complete").iterdir()), "--output", images / "pairs",
                 "--level", "4")  # fmt: skip
    assert result.code == 0
    assert result.out.split() == [str(images / "pairs")]
    assert "2 pairs of super_resolution at level 4" in result.err
    image, target = (read(images / "pairs" / folder / "one.nii.gz") for folder in ("images", "targets"))
    assert np.array_equal(target.voxels, read(images / "complete" / "one.nii.gz").voxels)
    assert np.abs(image.voxels - target.voxels).mean() > 1
    predicted = run("predict", images / "query.nii.gz", "--prompts", images / "pairs", "--task", "super_resolution",
                    "--output", images / "out", "--quiet")  # fmt: skip
    assert predicted.code == 0, predicted.err
    assert read(images / "out" / "query.nii.gz").shape == target.shape


def test_raw_data_become_a_picture_that_is_better_than_zero_filling(run: Run, images: Path) -> None:
    measured = run("measure", images / "query.nii.gz", "--output", images / "raw.h5", "--level", "4")
    assert measured.code == 0, measured.err
    result = run("reconstruct", images / "raw.h5", "--prompts", images / "complete", "--output", images / "out",
                 "--rounds", "1", "--smoothing", "10", "--quiet")  # fmt: skip
    assert result.code == 0, result.err
    assert result.out.split() == [str(images / "out" / "raw.nii.gz")]
    truth = clean("kspace").voxels
    assert np.abs(read(images / "out" / "raw.nii.gz").voxels - truth).mean() < 6


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("degrade", "segmentation", "query.nii.gz", "--output", "pairs"), "kind of task that can degrade images"),
        (("degrade", "speckle", "query.nii.gz", "--output", "pairs", "--level", "7"), "the level 7 of speckle"),
        (("degrade", "speckle", "query.nii.gz", "--output", "complete"), "exists and is not empty"),
        (("degrade", "speckle", "query.nii.gz", "query.nii.gz", "--output", "pairs"), "two clean images of one name"),
        (("measure", "query.nii.gz", "--output", "raw.h5", "--operator", "views"), "not HU"),
        (
            ("measure", "query.nii.gz", "--output", "raw.h5", "--operator", "sonar"),
            "no way to measure is called 'sonar'",
        ),
        (("measure", "query.nii.gz", "--output", "raw.nii"), "a name that ends in .h5"),
        (("reconstruct", "query.nii.gz", "--prompts", "complete", "--output", "out"), "raw data in HDF5"),
        (("reconstruct", "bad.h5", "--prompts", "complete", "--output", "out"), "beside 'kspace' with 80 columns"),
        (("reconstruct", "good.h5", "--prompts", "nowhere", "--output", "out"), "no folder"),
        (("reconstruct", "good.h5", "--prompts", "empty", "--output", "out"), "without images"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    run: Run, images: Path, arguments: tuple[str, ...], text: str
) -> None:
    fast_mri(images / "bad.h5", mask=np.ones(64))
    fast_mri(images / "good.h5")
    (images / "empty").mkdir()
    before = sorted(images.rglob("*"))
    placed = [images / one if "." in one or (images / one).exists() or one in ("pairs", "out", "nowhere") else one
              for one in arguments]  # fmt: skip
    result = run(*placed)
    assert result.code == 2
    assert text in result.err
    assert result.err.count("\n") == 1
    assert sorted(images.rglob("*")) == before
