"""`mvg register` from files to files."""

from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.displacement import read_field
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from tests.journeys.conftest import Run
from tests.prediction.registration.scenes import AFFINE, body, dice, smooth_field


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a moving and a fixed image and their labels."""
    moving, labels = body((40, 36, 8))
    field = smooth_field(moving, 6.0)
    write(moving, tmp_path / "moving.nii.gz")
    write(labels, tmp_path / "moving_labels.nii.gz")
    write(field.warp(moving), tmp_path / "fixed.nii.gz")
    write(field.warp_labels(labels), tmp_path / "fixed_labels.nii.gz")
    return tmp_path


def test_image_field_and_labels_are_written_on_the_fixed_grid(run: Run, images: Path) -> None:
    out = images / "out"
    result = run("register", images / "moving.nii.gz", images / "fixed.nii.gz", "--output", out,
                 "--labels", images / "moving_labels.nii.gz")  # fmt: skip
    assert result.code == 0
    assert result.out.split() == [str(out / f"{name}.nii.gz") for name in ("warped", "field", "labels")]
    assert result.err.startswith("mvg: flexible registration: displacements of ")
    assert "0.00% of the voxels fold" in result.err
    fixed, warped = read(images / "fixed.nii.gz"), read(out / "warped.nii.gz")
    assert warped.affine.tobytes() == fixed.affine.tobytes()
    assert (
        np.abs(warped.voxels - fixed.voxels).mean()
        < np.abs(read(images / "moving.nii.gz").voxels - fixed.voxels).mean()
    )
    truth, labels = read_labels(images / "fixed_labels.nii.gz"), read_labels(out / "labels.nii.gz")
    assert dice(labels, truth) > 0.9
    field = read_field(out / "field.nii.gz", fixed)
    assert np.array_equal(field.warp_labels(read_labels(images / "moving_labels.nii.gz")).voxels, labels.voxels)


def test_reversed_contrast_is_doubted_in_a_line(run: Run, images: Path) -> None:
    moving = read(images / "moving.nii.gz")
    write(Volume(moving.voxels.max() - moving.voxels, moving.affine), images / "reversed.nii.gz")
    result = run("register", images / "reversed.nii.gz", images / "fixed.nii.gz", "--output", images / "out",
                 "--transform", "affine", "--quiet")  # fmt: skip
    assert result.code == 0
    assert "does not follow the fixed one (local correlation -" in result.err
    assert result.err.count("\n") == 1
    plain = run("register", images / "moving.nii.gz", images / "fixed.nii.gz", "--output", images / "plain",
                "--transform", "affine", "--quiet")  # fmt: skip
    assert plain.err == ""


def test_examples_decide_the_transform(run: Run, images: Path) -> None:
    for name, source in (("moving", "moving"), ("fixed", "fixed"), ("targets", "fixed")):
        (images / "examples" / name).mkdir(parents=True)
        write(read(images / f"{source}.nii.gz"), images / "examples" / name / "pair.nii.gz")
    common = ("register", images / "moving.nii.gz", images / "fixed.nii.gz", "--output", images / "out")
    result = run(*common, "--prompts", images / "examples")
    assert result.code == 0
    assert result.err.split()[1] in ("stiff", "flexible")
    result = run(*common, "--prompts", images / "examples", "--transform", "affine")
    assert (result.code, result.out) == (2, "")
    assert "leave one out" in result.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("far", "without overlap"),
        ("slice", "a moving image that is a volume and a fixed one that is a single axial slice"),
        ("colors", "a moving image of 1 channels and a fixed one of 3"),
        ("labels", "labels on another grid than the moving image"),
        ("output", "would overwrite an input"),
        ("transform", "rigid"),
        ("missing", "no file or folder"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(change: str, message: str, run: Run, images: Path) -> None:
    moving, fixed, labels, out = (
        images / name for name in ("moving.nii.gz", "fixed.nii.gz", "moving_labels.nii.gz", "out")
    )
    options: tuple[str, ...] = ()
    image = read(fixed)
    if change == "far":
        far = AFFINE.copy()
        far[2, 3] += 900
        write(Volume(image.voxels, far), fixed)
    elif change == "slice":
        write(Volume(image.voxels[:, :, :1], AFFINE), fixed)
    elif change == "colors":
        fixed = images / "fixed.png"
        colors = np.stack([image.voxels[:, :, :1], image.voxels[:, :, 1:2], image.voxels[:, :, 2:3]], axis=-1)
        write(Volume(np.clip(colors, 0, 255), np.eye(4)), fixed)
    elif change == "labels":
        write(LabelMap(read_labels(labels).voxels[1:], AFFINE), labels)
    elif change == "output":
        out = images
        moving = moving.rename(images / "warped.nii.gz")
    elif change == "transform":
        options = ("--transform", "rigid")
    else:
        fixed.unlink()
    before = sorted(images.rglob("*"))
    result = run("register", moving, fixed, "--output", out, "--labels", labels, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1
    assert sorted(images.rglob("*")) == before


def test_predict_names_the_command(run: Run, images: Path) -> None:
    (images / "imagesTr").mkdir()
    write(read(images / "moving.nii.gz"), images / "imagesTr" / "a_0000.nii.gz")
    result = run(
        "predict", images / "fixed.nii.gz", "--prompts", images, "--output", images / "out", "--task", "registration"
    )
    assert (result.code, result.out) == (2, "")
    assert "use 'mvg register'" in result.err
    assert result.err.count("\n") == 1
