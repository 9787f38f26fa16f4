"""`mvg predict` from prompts to files."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import mvg
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from tests.journeys.conftest import Run, picture, put
from tests.prediction.scans import scan


@pytest.mark.parametrize("prompts", ["prompts", "nnunet"])
def test_a_scan_is_answered_on_its_own_grid(prompts: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = run("predict", user / "scan.nii.gz", "--prompts", user / prompts, "--output", out, "--weights", weights)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip() == str(out / "scan.nii.gz")
    query, answer = nib.load(user / "scan.nii.gz"), nib.load(out / "scan.nii.gz")
    assert answer.affine.tobytes() == query.affine.tobytes()
    assert answer.shape == query.shape
    assert set(np.unique(np.asarray(answer.dataobj))) <= {0, 3, 700}
    assert [path.name for path in out.iterdir()] == ["scan.nii.gz"]


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha", ".npz", ".h5"])
def test_the_answer_has_the_querys_format(suffix: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    put(scan((32, 32, 3), seed=5)[0], user / f"other{suffix}")
    out = tmp_path / "out"
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    result = run("predict", user / f"other{suffix}", *common, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    answer = read_labels(tmp_path / "out" / f"other{suffix}")
    assert answer.affine.tobytes() == read(user / f"other{suffix}").affine.tobytes()


def test_quality_on_request_is_noted_beside_what_is_known(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "quality.csv").write_text("answer,quality\nother.nii.gz,0.500\n", encoding="utf-8")
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    result = run("predict", user / "scan.nii.gz", *common, "--quality", "--propagate", 0.5, "--reject", 0.1)
    assert (result.code, result.err) == (0, "")
    assert result.out.split() == [str(out / "scan.nii.gz"), str(out / "quality.csv")]
    head, kept, mine = (out / "quality.csv").read_text(encoding="utf-8").splitlines()
    assert (head, kept) == ("answer,quality", "other.nii.gz,0.500")
    assert mine.startswith("scan.nii.gz,")
    assert 0 <= float(mine.split(",")[1]) <= 1


def test_quality_of_pictures_is_refused(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights)
    result = run("predict", user / "scan.nii.gz", *common, "--task", "denoising", "--quality")
    assert result.code == 2
    assert "leave --quality out" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_uncertainty_on_request(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights)
    more = ("--uncertainty", "--strategy", "most_similar", "--num-prompts", 2, "--device", "cpu")
    result = run("predict", user / "scan.nii.gz", *common, *more)
    assert result.code == 0
    doubt = read(tmp_path / "out" / "scan_uncertainty.nii.gz")
    assert doubt.affine.tobytes() == read(user / "scan.nii.gz").affine.tobytes()
    assert 0 <= doubt.voxels.min() <= doubt.voxels.max() <= 1


@pytest.mark.parametrize(
    ("suffix", "answered"), [(".png", ".png"), (".jpg", ".png"), (".tif", ".tif"), (".bmp", ".bmp")]
)
def test_pictures(suffix: str, answered: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    image = picture()
    put(image, user / "films" / "images" / "a.png")
    put(LabelMap((image.voxels > 128).astype(np.uint8) * 255, image.affine), user / "films" / "targets" / "a.png")
    put(picture(seed=1), user / f"film{suffix}")
    result = run(
        "predict",
        user / f"film{suffix}",
        "--prompts",
        user / "films",
        "--output",
        tmp_path / "out",
        "--weights",
        weights,
    )
    assert (result.code, result.err) == (0, "")
    assert set(np.unique(read_labels(tmp_path / "out" / f"film{answered}").voxels)) <= {0, 255}


def test_picture_targets_with_a_named_task(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    put(picture(), user / "films" / "images" / "a.png")
    put(picture(seed=2), user / "films" / "targets" / "a.png")
    put(picture(seed=1), user / "film.jpg")
    arguments = (
        "predict",
        user / "film.jpg",
        "--prompts",
        user / "films",
        "--output",
        tmp_path / "out",
        "--weights",
        weights,
    )
    asked = run(*arguments)
    assert asked.code == 2
    assert "--task" in asked.err
    assert asked.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--task", "inpainting").code == 0
    assert read(tmp_path / "out" / "film.jpg").shape == (40, 30, 1)


def test_a_dicom_series(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    import SimpleITK

    series = user / "ct_series"
    series.mkdir()
    voxels = np.random.default_rng(0).integers(-1000, 1000, (3, 32, 32)).astype(np.int16)
    for at in range(3):
        image = SimpleITK.GetImageFromArray(voxels[at : at + 1])
        image.SetSpacing((0.8, 0.8, 5.0))
        image.SetOrigin((0, 0, 5.0 * at))
        tags = {"0008|0060": "CT", "0020|000e": "1.2.3.4", "0020|000d": "1.2.3", "0020|0013": str(at)}
        tags |= {"0020|0037": r"1\0\0\0\1\0", "0020|0032": rf"0\0\{5.0 * at}"}
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(series / f"{at}.dcm"))
        writer.Execute(image)
    result = run("predict", series, "--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights)
    assert (result.code, result.err) == (0, "")
    answer, query = read_labels(tmp_path / "out" / "ct_series.nii.gz"), read(series)
    assert answer.shape == query.shape == (32, 32, 3)
    assert np.allclose(answer.affine, query.affine, atol=1e-5)


def test_prompts_saved_once_and_used_again(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "boxes.mvgtask"
    common = ("predict", user / "scan.nii.gz", "--weights", weights)
    assert run(*common, "--prompts", user / "prompts", "--output", first, "--save-task", file).code == 0
    result = run("predict", user / "scan.nii.gz", "--prompts", file, "--output", second)
    assert (result.code, result.err) == (0, "")
    assert (first / "scan.nii.gz").read_bytes() == (second / "scan.nii.gz").read_bytes()
    wrong = run("predict", user / "scan.nii.gz", "--prompts", file, "--output", second, "--task", "denoising")
    assert wrong.code == 2


def test_what_a_saved_task_cannot_do_is_told(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "boxes.mvgtask"
    common = ("predict", user / "scan.nii.gz", "--output", tmp_path / "out", "--prompts")
    made = run(*common, user / "prompts", "--weights", weights, "--look", "whole", "--ensemble", 2, "--save-task", file)
    assert made.code == 0
    closely = run(*common, file, "--look", "close")
    assert (closely.code, closely.err.count("\n")) == (2, 1)
    assert "saved with --look whole" in closely.err
    assert run(*common, file, "--task", "segmentation:T2").code == 2
    assert run(*common, file, "--uncertainty").code == 0, "of the two answers that it was saved with"


def test_options_that_pictures_do_not_heed_are_refused(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights, "--task", "denoising")
    for option, value in (("--look", "whole"), ("--reject", 0.5), ("--propagate", 0.5)):
        result = run("predict", user / "scan.nii.gz", *common, option, value)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert f"leave {option} out" in result.err
    assert not (tmp_path / "out").exists()


def test_which_channel_was_shown_is_told(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    for number in range(2):
        put(scan((32, 32, 3), seed=number + 5)[0], user / "nnunet" / "imagesTr" / f"case{number}_0001.nii.gz")
    put(read(user / "scan.nii.gz"), user / "patient_0001.nii.gz")
    common = ("--prompts", user / "nnunet", "--output", tmp_path / "out", "--weights", weights)
    assert "channels 'channel 1' was shown" in run("predict", user / "patient_0001.nii.gz", *common).err
    assert "channels 'channel 0' was shown" in run("predict", user / "scan.nii.gz", *common).err
    assert run("predict", user / "scan.nii.gz", *common, "--task", "segmentation:1").err == ""
    assert run("predict", user / "scan.nii.gz", *common, "-q").err == ""


def test_in_python(user: Path, weights: Path, tmp_path: Path) -> None:
    predictor = mvg.load(weights)
    images = [mvg.read(user / "prompts" / "images" / f"case{number}.nii.gz") for number in range(2)]
    targets = [mvg.LabelMap(scan((32, 32, 3), seed=number)[1].voxels, images[number].affine) for number in range(2)]
    task = predictor.prompt(images, targets)
    query = mvg.read(user / "scan.nii.gz")
    answer = task(query)
    task.save(tmp_path / "liver.mvgtask")
    again = mvg.load_task(tmp_path / "liver.mvgtask")(query)
    assert np.array_equal(answer.volume.voxels, again.volume.voxels)
    mvg.write(answer.volume, tmp_path / "answer.nii.gz")
    assert mvg.Volume is Volume


def test_help_is_instant_and_loads_no_torch() -> None:
    code = "import sys\nsys.argv = ['mvg', 'predict', '--help']\nfrom mvg.app import cli\n"
    code += "try: cli.main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'numpy', 'SimpleITK'} & set(sys.modules), 'heavy'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in (
        "--prompts",
        "--output",
        "--task",
        "--weights",
        "--strategy",
        "--num-prompts",
        "--device",
        "--uncertainty",
    ):
        assert option in done.stdout


def test_version_and_weights(run: Run, weights: Path) -> None:
    assert run("--version").out.strip() == mvg.__version__
    assert run("weights", "list").code == 0
    shown = run("weights", "show", weights)
    assert shown.code == 0
    assert "# toy" in shown.out
    assert "verified" in shown.out
