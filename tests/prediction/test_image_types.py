"""Prompts, queries and sessions take images of any kind, and the prediction is the same for all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from mvg.errors import FileError, GeometryError, PromptError
from mvg.imaging.files import read, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.prompts.task_choice import check_sequence
from tests.imaging.grids import ORIENTATIONS, affine_of
from tests.prediction.learner import Learner, prompted
from tests.prediction.scans import AFFINE, scan

TILTED = [affine_of(orientation, (1.2, 1.2, 5.0), (0.2, -0.1, 0.3)) for orientation in ORIENTATIONS[::7]]


def shape_of(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """32 voxels along axes of fine spacing, 6 along the coarse one."""
    x, y, z = (6 if step > 3 else 32 for step in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def pair_of(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """A file as an array with an affine."""
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


KINDS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text": str,
    "nibabel": nib.load,
    "SimpleITK": lambda path: sitk.ReadImage(str(path)),
    "array": pair_of,
}


@pytest.fixture(scope="module")
def task() -> PromptedTask:
    return prompted(Learner(), zoom="off")


@pytest.mark.parametrize("affine", TILTED)
def test_the_prediction_is_the_same_for_every_kind_of_query(
    affine: NDArray[np.float64], task: PromptedTask, tmp_path: Path
) -> None:
    volume, _ = scan(shape_of(affine), affine, seed=9)
    write(volume, tmp_path / "query.nii.gz")
    query = read(tmp_path / "query.nii.gz")
    expected = task(query).volume
    assert expected.values == (3, 700)
    for name, convert in KINDS.items():
        prediction = task(convert(tmp_path / "query.nii.gz")).volume
        assert np.array_equal(prediction.voxels, expected.voxels), name
        if name == "SimpleITK":  # which splits an affine into directions and spacings
            assert np.allclose(prediction.affine, expected.affine, rtol=0, atol=1e-5)
        else:
            assert prediction.affine.tobytes() == expected.affine.tobytes(), name


def test_a_query_in_a_format_of_simpleitk_keeps_its_affine_bit_for_bit(task: PromptedTask, tmp_path: Path) -> None:
    write(scan(seed=9)[0], tmp_path / "query.mha")
    from_path = task(tmp_path / "query.mha").volume
    from_image = task(sitk.ReadImage(str(tmp_path / "query.mha"))).volume
    assert from_image.affine.tobytes() == from_path.affine.tobytes()
    assert np.array_equal(from_image.voxels, from_path.voxels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task_name", [None, "segmentation"])
def test_prompts_of_every_kind(kind: str, task_name: str | None, tmp_path: Path) -> None:
    images, targets = [], []
    for number in range(2):
        image, labels = scan(seed=number)
        write(image, tmp_path / f"image{number}.nii.gz")
        write(labels, tmp_path / f"labels{number}.nii.gz")
        images.append(KINDS[kind](tmp_path / f"image{number}.nii.gz"))
        targets.append(KINDS[kind](tmp_path / f"labels{number}.nii.gz"))
    task = Predictor(Learner()).prompt(images, targets, task_name, PredictionOptions(zoom="off"))
    query, truth = scan(seed=9)
    assert np.array_equal(task(query).volume.voxels, truth.voxels)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_as_targets_need_a_task(kind: str, tmp_path: Path) -> None:
    image, _ = scan()
    write(image, tmp_path / "image.nii.gz")
    picture = KINDS[kind](tmp_path / "image.nii.gz")
    with pytest.raises(PromptError, match="name the task"):
        Predictor(Learner()).prompt([picture], [picture])
    task = Predictor(Learner()).prompt([picture], [picture], "denoising")
    assert isinstance(task(image).volume, Volume)


def test_kinds_may_be_mixed(tmp_path: Path) -> None:
    image, labels = scan()
    write(image, tmp_path / "image.mha")
    task = Predictor(Learner()).prompt([tmp_path / "image.mha"], [labels], options=PredictionOptions(zoom="off"))
    assert isinstance(task(image).volume, LabelMap)


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_open_every_kind(kind: str, task: PromptedTask, tmp_path: Path) -> None:
    write(scan(seed=9)[0], tmp_path / "query.nii.gz")
    query = read(tmp_path / "query.nii.gz")
    for session in (
        task.open(KINDS[kind](tmp_path / "query.nii.gz")),
        Predictor(Learner()).open(KINDS[kind](tmp_path / "query.nii.gz"), labels=[3, 700]),
    ):
        assert np.array_equal(session.volume.voxels, query.voxels)
        assert np.allclose(session.volume.affine, query.affine, rtol=0, atol=1e-5)


class TestBadInput:
    def test_another_type_is_named(self, task: PromptedTask) -> None:
        image, labels = scan()
        with pytest.raises(GeometryError, match=r"the query is of the type numpy.ndarray; expected"):
            task(image.voxels)
        with pytest.raises(GeometryError, match=r"the volume is of the type builtins.NoneType"):
            task.open(None)
        with pytest.raises(GeometryError, match=r"the image of prompt 2 is of the type builtins.int"):
            Predictor(Learner()).prompt([image, 3], [labels, labels])
        with pytest.raises(GeometryError, match=r"the target of prompt 1 is of the type builtins.int"):
            Predictor(Learner()).prompt([image], [3], "segmentation")

    @pytest.mark.parametrize("single", ["image.nii.gz", scan()[0].voxels, sitk.Image([3, 3, 3], sitk.sitkFloat32)])
    def test_one_image_is_no_list(self, single: Any) -> None:
        _, labels = scan()
        with pytest.raises(PromptError, match=r"images of the type \w+; expected a list"):
            Predictor(Learner()).prompt(single, [labels])
        with pytest.raises(PromptError, match=r"targets of the type \w+; expected a list"):
            Predictor(Learner()).prompt([labels], single)

    @pytest.mark.parametrize("single", [scan()[0], nib.Nifti1Image(np.zeros((3, 3, 3)), None), Path("a.nii"), 3, None])
    def test_what_cannot_be_indexed_is_no_list(self, single: Any) -> None:
        with pytest.raises(PromptError, match=r"images of the type \w+; expected a list"):
            check_sequence(single, "images")

    def test_a_file_that_is_missing(self, task: PromptedTask, tmp_path: Path) -> None:
        with pytest.raises(FileError, match="no file or folder"):
            task(tmp_path / "gone.nii.gz")

    def test_another_grid(self) -> None:
        image, labels = scan()
        moved = nib.Nifti1Image(labels.voxels, AFFINE + 3 * np.eye(4, k=3))
        with pytest.raises(GeometryError, match="prompt 1"):
            Predictor(Learner()).prompt([image], [moved])


def test_a_session_of_an_image_keeps_what_is_drawn(task: PromptedTask, tmp_path: Path) -> None:
    write(scan(seed=9)[0], tmp_path / "query.nii.gz")
    session = task.open(nib.load(tmp_path / "query.nii.gz"))
    drawn = session.predict().volume.voxels.take(2, 2)
    session.correct(2, drawn)
    assert np.array_equal(session.predict().volume.voxels.take(2, 2), drawn)
