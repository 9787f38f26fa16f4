"""Files with several volumes, with NaN, and folders of images that are no DICOM."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mvg
from mvg.errors import FileError, PromptError
from mvg.imaging.formats import Stored
from mvg.imaging.missing_values import replacing_nan
from mvg.imaging.stored_images import volume_of
from mvg.prediction.batch import plan
from mvg.prediction.prompts.channels import read_channels
from mvg.prediction.queries import Query, queries_of, volumes_of


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    voxels = np.arange(2 * 3 * 4 * 11, dtype=np.float32).reshape(2, 3, 4, 11)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 8, 1])), tmp_path / "cine.nii.gz")
    return tmp_path / "cine.nii.gz"


def test_one_volume_of_several(cine: Path) -> None:
    (query,) = volumes_of(queries_of([cine]), "7")
    assert query == Query(cine, "volume 7", "cine_07")
    stored = np.asanyarray(nibabel.load(cine).dataobj)
    volume = read_channels(query.path, 1, query.series)
    assert np.array_equal(volume.voxels, stored[..., 7])
    assert np.array_equal(volume.affine, nibabel.load(cine).affine)


def test_every_volume_is_a_query_of_its_own(cine: Path, tmp_path: Path) -> None:
    mvg.write(mvg.Volume(np.ones((2, 2, 2)), np.eye(4)), tmp_path / "plain.nii")
    queries = volumes_of(queries_of([cine, tmp_path / "plain.nii"]), "all")
    assert len(queries) == 12
    jobs = plan(queries, tmp_path / "out", "labels")
    assert [job.output.name for job in jobs[:2]] == ["cine_00.nii.gz", "cine_01.nii.gz"]
    assert jobs[-1].output.name == "plain.nii"


def test_a_file_that_lacks_the_volume_or_is_damaged_is_refused_alone(cine: Path, tmp_path: Path) -> None:
    mvg.write(mvg.Volume(np.ones((2, 2, 2)), np.eye(4)), tmp_path / "plain.nii")
    (tmp_path / "damaged.nii").write_bytes(b"damaged")
    first, plain, damaged = volumes_of(queries_of([cine, tmp_path / "plain.nii", tmp_path / "damaged.nii"]), "3")
    assert read_channels(first.path, 1, first.series).voxels[0, 0, 0] == 3
    with pytest.raises(FileError, match=r"has 1 volumes; expected 0 to 0; choose another one than 3"):
        read_channels(plain.path, 1, plain.series)
    with pytest.raises(FileError, match="cannot be read"):
        read_channels(damaged.path, 1, damaged.series)


def test_all_volumes_of_a_url_are_refused() -> None:
    assert volumes_of(queries_of(["memory://cine.nii.gz"]), "3")[0].series == "volume 3"
    with pytest.raises(PromptError, match="--volume all for a URL"):
        volumes_of(queries_of(["memory://cine.nii.gz"]), "all")


def test_volumes_that_are_not_there(cine: Path) -> None:
    with pytest.raises(PromptError, match="a number from 0 on, or all"):
        volumes_of(queries_of([cine]), "last")
    with pytest.raises(FileError, match=r"has 11 volumes; expected 0 to 10"):
        mvg.read(cine, "volume 11")
    with pytest.raises(FileError, match="mvg predict --volume 0"):
        mvg.read(cine)


def test_nan_is_refused_or_gets_the_value_that_was_named(tmp_path: Path) -> None:
    voxels = np.ones((3, 3, 3), np.float32)
    voxels[0] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(FileError, match="mvg predict --nan 0"):
        mvg.read(tmp_path / "nan.nii")
    with replacing_nan(-3.0):
        assert np.array_equal(mvg.read(tmp_path / "nan.nii").voxels, np.nan_to_num(voxels, nan=-3))
    with pytest.raises(FileError):
        mvg.read(tmp_path / "nan.nii")
    voxels[1] = np.inf
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "inf.nii")
    with replacing_nan(0.0), pytest.raises(FileError, match="NaN or infinite"):
        mvg.read(tmp_path / "inf.nii")


@given(st.floats(0.01, 0.9), st.floats(-3000, 3000))
def test_any_share_of_nan_gets_the_value_that_was_named(share: float, value: float) -> None:
    """As images that were resampled beyond their edge."""
    voxels = np.random.default_rng(0).random((6, 5, 4)).astype(np.float32)
    missing = np.random.default_rng(1).random(voxels.shape) < share
    stored = Stored(np.where(missing, np.float32(np.nan), voxels), np.eye(4))
    if not missing.any():
        return
    with pytest.raises(FileError, match=f"holds {missing.sum()} values that are NaN"):
        volume_of(stored, "an image")
    with replacing_nan(value):
        read = volume_of(stored, "an image").voxels
    assert np.array_equal(read, np.where(missing, np.float32(value), voxels))


def test_a_folder_of_other_images_says_what_to_do(cine: Path) -> None:
    with pytest.raises(FileError, match=r"1 other images \(cine\.nii\.gz, \.\.\.\).*name the images"):
        mvg.read(cine.parent)
