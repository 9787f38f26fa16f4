"""Files with several volumes, with NaN, and folders of images that are no DICOM."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

import mvg
from mvg.errors import FileError, PromptError
from mvg.imaging.missing_values import replacing_nan
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


def test_a_folder_of_other_images_says_what_to_do(cine: Path) -> None:
    with pytest.raises(FileError, match=r"1 other images \(cine\.nii\.gz, \.\.\.\).*name the images"):
        mvg.read(cine.parent)
