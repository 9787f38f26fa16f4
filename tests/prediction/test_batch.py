"""Batches of files: names of outputs, nothing overwritten, one failing query does not cost the others."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from mvg.errors import FileError
from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window
from mvg.prediction import batch
from mvg.prediction.batch import plan, predict_files, scale_of
from mvg.prediction.options import PredictionOptions
from mvg.prediction.output_files import output_folder, write_probabilities, write_qualities
from mvg.prediction.predictor import Predictor
from mvg.prediction.prompted_task import PromptedTask
from mvg.prediction.result import ClassProbabilities
from tests.prediction.learner import Learner
from tests.prediction.scans import scan


@pytest.fixture
def task() -> PromptedTask:
    image, labels = scan()
    return Predictor(Learner()).prompt([image], [labels])


@pytest.mark.parametrize(
    ("query", "target_type", "name"),
    [
        ("scan.nii.gz", "labels", "scan.nii.gz"),
        ("scan.v2.nii", "labels", "scan.v2.nii"),
        ("Scan.NRRD", "image", "Scan.NRRD"),
        ("film.png", "labels", "film.png"),
        ("film.jpg", "labels", "film.png"),
        ("film.jpeg", "image", "film.jpeg"),
        ("slice.dcm", "labels", "slice.nii.gz"),
        ("IM0001", "labels", "IM0001.nii.gz"),
    ],
)
def test_names_of_predictions(query: str, target_type: str, name: str, tmp_path: Path) -> None:
    (job,) = plan([Path("in") / query], tmp_path, target_type)
    assert job.output == tmp_path / name
    assert job.uncertainty is None
    (job,) = plan([Path("in") / query], tmp_path, target_type, extras=("uncertainty",))
    assert (
        job.uncertainty == tmp_path / f"{name.removesuffix('.nii.gz').rsplit('.', 1)[0]}_uncertainty.nii.gz"
        or "v2" in name
    )


def test_predictions_for_dicom_folders_are_nifti(tmp_path: Path) -> None:
    (tmp_path / "series.1").mkdir()
    assert plan([tmp_path / "series.1"], tmp_path / "out", "labels")[0].output.name == "series.1.nii.gz"


def test_inputs_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="overwrite"):
        plan([tmp_path / "scan.nii.gz"], tmp_path, "labels")
    with pytest.raises(FileError, match="overwrite"):
        plan([tmp_path / "a" / "scan.nii.gz"], tmp_path / "b", "labels", inputs=[tmp_path / "b" / "scan.nii.gz"])
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(FileError, match="overwrite"):
        plan([tmp_path / "scan.nii.gz"], tmp_path / "link", "labels")


def test_two_predictions_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="both be called"):
        plan([tmp_path / "a" / "scan.nii.gz", tmp_path / "b" / "scan.nii.gz"], tmp_path / "out", "labels")


def test_one_failing_query_does_not_cost_the_others(task: PromptedTask, tmp_path: Path) -> None:
    query, truth = scan(seed=9)
    write(query, tmp_path / "good.nii.gz")
    (tmp_path / "bad.nii.gz").write_bytes((tmp_path / "good.nii.gz").read_bytes()[:200])
    out = tmp_path / "out"
    with output_folder(out):
        jobs = plan([tmp_path / "bad.nii.gz", tmp_path / "gone.nii.gz", tmp_path / "good.nii.gz"], out, "labels")
        bad, gone, good = predict_files(task, jobs)
    assert "bad.nii.gz" in str(bad.error)
    assert "gone.nii.gz" in str(gone.error)
    assert good.error is None
    assert [path.name for path in out.iterdir()] == ["good.nii.gz"]
    assert np.array_equal(read_labels(out / "good.nii.gz").voxels, truth.voxels)


def test_an_unexpected_error_costs_one_query_alone(
    task: PromptedTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, _ = scan(seed=9)
    for name in ("a", "b"):
        write(query, tmp_path / f"{name}.nii.gz")
    real = batch.read_channels

    def read_one(path: Path, inputs: int, series: str) -> Volume:
        if path.name == "a.nii.gz":
            raise ZeroDivisionError("a\nb")
        return real(path, inputs, series)

    monkeypatch.setattr("mvg.prediction.batch.read_channels", read_one)
    with output_folder(tmp_path / "out"):
        first, second = predict_files(
            task, plan([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], tmp_path / "out", "labels")
        )
    assert "ZeroDivisionError in test_batch.py, line" in str(first.error), "the line to report"
    assert "\n" not in str(first.error)
    assert second.error is None


def test_a_prediction_without_its_uncertainty_is_removed(
    task: PromptedTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(scan(seed=9)[0], tmp_path / "scan.nii.gz")
    real = write

    def write_one(volume: Volume, path: Path) -> None:
        if "uncertainty" in path.name:
            raise FileError("a full disk", "space", "free some")
        real(volume, path)

    monkeypatch.setattr("mvg.prediction.output_files.write", write_one)
    with output_folder(tmp_path / "out"):
        jobs = plan([tmp_path / "scan.nii.gz"], tmp_path / "out", "labels", extras=("uncertainty",))
        (outcome,) = predict_files(task.with_options(PredictionOptions(uncertainty=True)), jobs)
    assert outcome.error is not None
    assert not (tmp_path / "out").exists()


def test_pictures_of_8_bits_stay_in_their_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = Volume(rng.integers(0, 256, (40, 30, 1)).astype(np.float32), np.diag([-1.0, -1, 1, 1]))
    brighter = Volume(picture.voxels + 100, picture.affine)
    task = Predictor(Learner()).prompt([picture], [brighter], "denoising")
    write(picture, tmp_path / "film.png")
    with output_folder(tmp_path / "out"):
        (outcome,) = predict_files(task, plan([tmp_path / "film.png"], tmp_path / "out", "image"))
    assert outcome.error is None
    assert read(tmp_path / "out" / "film.png").voxels.max() == 255


@pytest.mark.parametrize(
    ("query", "scale", "name"),
    [
        ("film.png", Window(0, 4000), "film.png"),
        ("film.jpg", Window(0, 4000), "film.tif"),
        ("film.png", Window(0, 1), "film.tif"),
        ("film.png", Window(-900, 300), "film.tif"),
        ("film.bmp", Window(10, 250), "film.bmp"),
        ("scan.nii.gz", Window(0, 1), "scan.nii.gz"),
    ],
)
def test_pictures_on_a_scale_of_their_own_go_where_it_fits(
    query: str, scale: Window, name: str, tmp_path: Path
) -> None:
    (job,) = plan([Path("in") / query], tmp_path, "image", scale=scale)
    assert job.output == tmp_path / name


def test_a_synthesis_of_16_bit_pictures_is_not_cut_to_the_querys_8(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    film = Volume(rng.integers(0, 256, (32, 32, 1)).astype(np.float32), np.eye(4))
    task = Predictor(Learner()).prompt([film], [Volume(film.voxels * 15, np.eye(4))], "synthesis:a->b")
    write(film, tmp_path / "film.png")
    jobs = plan([tmp_path / "film.png"], tmp_path / "out", "image", scale=scale_of(task))
    (tmp_path / "out").mkdir()
    (outcome,) = predict_files(task, jobs)
    assert outcome.error is None
    assert read(outcome.written[0]).voxels.max() > 3000


def test_qualities_are_added_and_a_foreign_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    write_qualities(tmp_path, {"a.nii.gz": 0.5})
    assert write_qualities(tmp_path, {"b.nii.gz": 0.25}) == (tmp_path / "quality.csv",)
    rows = (tmp_path / "quality.csv").read_text()
    assert rows.splitlines() == ["answer,quality", "a.nii.gz,0.500", "b.nii.gz,0.250"]
    assert write_qualities(tmp_path / "elsewhere", {}) == ()
    (tmp_path / "quality.csv").write_bytes("answer,quality\nm\u00fcller.nii.gz,0.5\n".encode("latin-1"))
    with pytest.raises(FileError, match="quality"):
        write_qualities(tmp_path, {"a.nii.gz": 0.5})


@pytest.mark.parametrize("image_class", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_probabilities_keep_the_grid_and_the_values(image_class: Any, tmp_path: Path) -> None:
    voxels, affine = scan((20, 24, 4))[0].voxels, scan()[0].affine
    image_class(voxels, affine).to_filename(tmp_path / "query.nii.gz")
    query = read(tmp_path / "query.nii.gz")
    slices = np.random.default_rng(0).dirichlet((1, 1, 1), query.pictures("axial").shape).transpose(3, 0, 1, 2)
    probabilities = ClassProbabilities((0, 3, 700), slices.astype(np.float16), query, "axial")
    path = tmp_path / "scan_probabilities.nii.gz"
    write_probabilities(probabilities, path)
    image = nibabel.load(path)
    assert image.affine.tobytes() == query.affine.tobytes()
    assert type(image) is image_class
    assert image.shape == (*query.shape, 3)
    for number, value in enumerate((0, 3, 700)):
        assert np.allclose(image.get_fdata()[..., number], probabilities.of(value).voxels, atol=1 / 65535)
    assert json.loads((tmp_path / "scan_probabilities.json").read_text()) == {"classes": [0, 3, 700]}
    with pytest.raises(FileError, match="could not be written"):
        write_probabilities(probabilities, tmp_path / "none" / "scan_probabilities.nii.gz")


def test_the_files_of_probabilities_are_protected_like_the_others(tmp_path: Path) -> None:
    (job,) = plan([Path("in/scan.nii.gz")], tmp_path, "labels", extras=("probabilities", "uncertainty"))
    names = ["scan.nii.gz", "scan_uncertainty.nii.gz", "scan_probabilities.nii.gz", "scan_probabilities.json"]
    assert [path.name for path in job.outputs] == names
    with pytest.raises(FileError, match="overwrite"):
        plan([Path("in/scan.nii.gz")], tmp_path, "labels", [tmp_path / names[2]], ("probabilities",))


def test_output_folders(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("x")
    for wrong in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(FileError, match="writable folder"), output_folder(wrong):
            pass
    with output_folder(tmp_path):
        pass
    assert tmp_path.is_dir()
