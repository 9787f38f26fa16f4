"""`mvg predict` from prompts to files."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import mvg
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import kind_names, kinds
from tests.journeys.conftest import Run, picture, put
from tests.prediction.scans import scan


@pytest.mark.parametrize("prompts", ["prompts", "nnunet"])
def test_a_prediction_has_its_querys_grid(prompts: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = run("predict", user / "scan.nii.gz", "--prompts", user / prompts, "--output", out, "--weights", weights)
    assert (result.code, result.err) == (0, "")
    assert result.out.strip() == str(out / "scan.nii.gz")
    query, prediction = nib.load(user / "scan.nii.gz"), nib.load(out / "scan.nii.gz")
    assert prediction.affine.tobytes() == query.affine.tobytes()
    assert prediction.shape == query.shape
    assert set(np.unique(np.asarray(prediction.dataobj))) <= {0, 3, 700}
    assert {path.name for path in out.iterdir()} == {"scan.nii.gz", "manifest.json", "report.html"}


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha", ".npz", ".h5"])
def test_a_prediction_has_its_querys_format(suffix: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    put(scan((32, 32, 3), seed=5)[0], user / f"other{suffix}")
    out = tmp_path / "out"
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    result = run("predict", user / f"other{suffix}", *common, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    prediction = read_labels(tmp_path / "out" / f"other{suffix}")
    assert prediction.affine.tobytes() == read(user / f"other{suffix}").affine.tobytes()


def test_quality_is_added_to_the_table_that_exists(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "quality.csv").write_text("answer,quality\nother.nii.gz,0.500\n", encoding="utf-8")
    common = ("--prompts", user / "prompts", "--output", out, "--weights", weights)
    result = run("predict", user / "scan.nii.gz", *common, "--quality", "--propagate", 0.5, "--min-probability", 0.1)
    assert (result.code, result.err) == (0, "")
    assert result.out.split() == [str(out / "scan.nii.gz"), str(out / "quality.csv")]
    head, kept, added = (out / "quality.csv").read_text(encoding="utf-8").splitlines()
    assert (head, kept) == ("answer,quality", "other.nii.gz,0.500")
    assert added.startswith("scan.nii.gz,")
    assert 0 <= float(added.split(",")[1]) <= 1


@pytest.mark.parametrize("option", ["--quality", "--probabilities"])
def test_extras_that_pictures_lack_are_refused(
    option: str, run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights)
    result = run("predict", user / "scan.nii.gz", *common, "--task", "denoising", option)
    assert result.code == 2
    assert f"ask for no {option[2:]}" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["segmentation", "inpainting"])
def test_uncertainty_does_not_change_the_prediction(
    task: str, run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    plain, extra = tmp_path / "plain", tmp_path / "extra"
    common = ("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--weights", weights, "--task", task)
    more = ("--strategy", "most_similar", "--num-prompts", 2, "--device", "cpu")
    assert run(*common, *more, "--output", plain).code == 0
    assert run(*common, *more, "--output", extra, "--uncertainty").code == 0
    assert (plain / "scan.nii.gz").read_bytes() == (extra / "scan.nii.gz").read_bytes()
    uncertainty = read(extra / "scan_uncertainty.nii.gz")
    assert uncertainty.affine.tobytes() == read(user / "scan.nii.gz").affine.tobytes()
    assert 0 <= uncertainty.voxels.min() < uncertainty.voxels.max() <= 1


def test_probabilities_of_the_classes(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("predict", user / "scan.nii.gz", "--prompts", user / "prompts", "--output", out, "--weights", weights)
    result = run(*common, "--probabilities", "--zoom", "off", "--min-probability", 0)
    assert (result.code, result.err) == (0, "")
    names = ["scan.nii.gz", "scan_probabilities.nii.gz", "scan_probabilities.json"]
    assert result.out.split() == [str(out / name) for name in names]
    classes = json.loads((out / "scan_probabilities.json").read_text())["classes"]
    assert classes == [0, 3, 700]
    image = nib.load(out / "scan_probabilities.nii.gz")
    assert image.get_data_dtype() == np.uint16
    assert image.affine.tobytes() == nib.load(user / "scan.nii.gz").affine.tobytes()
    probabilities = image.get_fdata()
    assert probabilities.shape == (32, 32, 3, 3)
    assert np.allclose(probabilities.sum(axis=3), 1, atol=2e-3)
    likeliest = np.array(classes)[probabilities.argmax(axis=3)]
    certain = np.diff(np.sort(probabilities, axis=3)[..., 1:], axis=3)[..., 0] > 2e-3
    assert certain.mean() > 0.5
    assert np.array_equal(likeliest[certain], read_labels(out / "scan.nii.gz").voxels[certain])


def test_the_shipped_weights_outline_a_bright_organ(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        image, labels = ellipse(number)
        put(image, tmp_path / "prompts" / "images" / f"case{number}.nii.gz")
        put(labels, tmp_path / "prompts" / "targets" / f"case{number}.nii.gz")
    query, truth = ellipse(7)
    put(query, tmp_path / "scan.nii.gz")
    result = run("predict", tmp_path / "scan.nii.gz", "--prompts", tmp_path / "prompts", "--output", tmp_path / "out")
    assert result.code == 0, result.err
    predicted = read_labels(tmp_path / "out" / "scan.nii.gz").voxels > 0
    assert 2 * (predicted & (truth.voxels > 0)).sum() / (predicted.sum() + (truth.voxels > 0).sum()) > 0.8


def ellipse(seed: int) -> tuple[Volume, LabelMap]:
    """A volume (48, 48, 2) with one bright ellipse at a random place."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[:48, :48]
    row, col, radius = rng.uniform(18, 30), rng.uniform(18, 30), rng.uniform(8, 12)
    labels = np.repeat((np.hypot(rows - row, 1.3 * (cols - col)) < radius).astype(np.uint8)[..., None], 2, axis=2)
    voxels = 100 * labels + rng.normal(50, 5, labels.shape)
    affine = np.diag([1.5, 1.5, 6, 1])
    return Volume(voxels.astype(np.float32), affine), LabelMap(labels, affine)


@pytest.mark.parametrize(
    ("suffix", "predicted"), [(".png", ".png"), (".jpg", ".png"), (".tif", ".tif"), (".bmp", ".bmp")]
)
def test_pictures(suffix: str, predicted: str, run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
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
    assert set(np.unique(read_labels(tmp_path / "out" / f"film{predicted}").voxels)) <= {0, 255}


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
    unnamed = run(*arguments)
    assert unnamed.code == 2
    assert "name the task" in unnamed.err
    assert unnamed.err.count("\n") == 1
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
    assert (result.code, result.err) == (0, "mvg: ct_series: CT in HU, but the prompts do not look like CT in HU\n")
    prediction, query = read_labels(tmp_path / "out" / "ct_series.nii.gz"), read(series)
    assert prediction.shape == query.shape == (32, 32, 3)
    assert np.allclose(prediction.affine, query.affine, atol=1e-5)


def test_prompts_saved_once_and_used_again(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "boxes.mvgtask"
    common = ("predict", user / "scan.nii.gz", "--weights", weights)
    assert run(*common, "--prompts", user / "prompts", "--output", first, "--save-task", file).code == 0
    result = run("predict", user / "scan.nii.gz", "--prompts", file, "--output", second)
    assert (result.code, result.err) == (0, "")
    assert (first / "scan.nii.gz").read_bytes() == (second / "scan.nii.gz").read_bytes()
    wrong = run("predict", user / "scan.nii.gz", "--prompts", file, "--output", second, "--task", "denoising")
    assert wrong.code == 2


def test_options_that_a_saved_task_does_not_have(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "boxes.mvgtask"
    common = ("predict", user / "scan.nii.gz", "--output", tmp_path / "out", "--prompts")
    saved = run(*common, user / "prompts", "--weights", weights, "--zoom", "off", "--ensemble", 2, "--save-task", file)
    assert saved.code == 0
    zoomed = run(*common, file, "--zoom", "auto")
    assert (zoomed.code, zoomed.err.count("\n")) == (2, 1)
    assert "made with zoom 'off'" in zoomed.err
    assert run(*common, file, "--task", "segmentation:T2").code == 2
    assert mvg.load_task(file).options.members == 2
    assert run(*common, file, "--uncertainty").code == 0


def test_options_replace_those_of_a_saved_task(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "boxes.mvgtask"
    common = ("predict", user / "scan.nii.gz", "--output", tmp_path / "out", "--prompts")
    assert run(*common, user / "prompts", "--weights", weights, "--zoom", "off", "--save-task", file).code == 0
    for probability, is_labeled in ((0, True), (1, False)):
        assert run(*common, file, "--min-probability", probability).code == 0
        assert read_labels(tmp_path / "out" / "scan.nii.gz").voxels.any() == is_labeled


@pytest.mark.parametrize(
    ("former", "present"), [(("--look", "whole"), "--zoom off"), (("--look=close",), "--zoom auto"),
                            (("--reject", "0.5"), "--min-probability")]
)  # fmt: skip
def test_an_option_with_a_former_name_is_an_error_with_the_new_one(
    former: tuple[str, ...], present: str, run: Run, user: Path, tmp_path: Path
) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out")
    result = run("predict", user / "scan.nii.gz", *common, *former)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert f"the option {former[0].split('=')[0]}; expected " in result.err
    assert present in result.err
    assert not (tmp_path / "out").exists()


def test_options_that_do_nothing_to_pictures_are_refused(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--prompts", user / "prompts", "--output", tmp_path / "out", "--weights", weights, "--task", "denoising")
    for option, value in (("--zoom", "off"), ("--min-probability", 0.5), ("--propagate", 0.5)):
        result = run("predict", user / "scan.nii.gz", *common, option, value)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert result.err.endswith(f"expected a segmentation; leave {option} out.\n")
    assert not (tmp_path / "out").exists()


def test_a_line_names_the_channel_that_was_used(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    for number in range(2):
        put(scan((32, 32, 3), seed=number + 5)[0], user / "nnunet" / "imagesTr" / f"case{number}_0001.nii.gz")
    put(read(user / "scan.nii.gz"), user / "patient_0001.nii.gz")
    common = ("--prompts", user / "nnunet", "--output", tmp_path / "out", "--weights", weights)
    assert "channel 'channel 1' was used" in run("predict", user / "patient_0001.nii.gz", *common).err
    assert "channel 'channel 0' was used" in run("predict", user / "scan.nii.gz", *common).err
    assert run("predict", user / "scan.nii.gz", *common, "--task", "segmentation:1").err == ""
    assert run("predict", user / "scan.nii.gz", *common, "-q").err == ""


def test_warnings_of_mvg_are_lines_and_those_of_libraries_are_not_printed(
    run: Run, user: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_arguments: object) -> tuple[()]:
        logging.getLogger("mvg.imaging").warning("two\n lines of %s", "a warning")
        logging.getLogger("mvg.imaging").info("an info")
        library = logging.getLogger("library")
        monkeypatch.setattr(library, "handlers", [logging.StreamHandler(sys.stderr)])
        library.error("an error of a library")
        return ()

    monkeypatch.setattr("mvg.app.predicting.write_qualities", warn)
    common = (
        "predict",
        user / "scan.nii.gz",
        "--prompts",
        user / "prompts",
        "--output",
        tmp_path,
        "--weights",
        weights,
    )
    assert run(*common).err == "mvg: two lines of a warning\n"
    assert run(*common, "--quiet").err == "mvg: two lines of a warning\n"
    assert not logging.getLogger("mvg").handlers


def test_in_python(user: Path, weights: Path, tmp_path: Path) -> None:
    predictor = mvg.load(weights)
    images = [mvg.read(user / "prompts" / "images" / f"case{number}.nii.gz") for number in range(2)]
    targets = [mvg.LabelMap(scan((32, 32, 3), seed=number)[1].voxels, images[number].affine) for number in range(2)]
    task = predictor.prompt(images, targets)
    query = mvg.read(user / "scan.nii.gz")
    prediction = task(query)
    task.save(tmp_path / "liver.mvgtask")
    again = mvg.load_task(tmp_path / "liver.mvgtask")(query)
    assert np.array_equal(prediction.volume.voxels, again.volume.voxels)
    mvg.write(prediction.volume, tmp_path / "prediction.nii.gz")
    assert mvg.Volume is Volume


def test_help_is_instant_and_loads_no_torch() -> None:
    code = "import sys\nsys.argv = ['mvg', 'predict', '--help']\nfrom mvg.app import cli\n"
    code += "try: cli.main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'numpy', 'SimpleITK'} & set(sys.modules), 'heavy'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    options = ("--prompts", "--output", "--task", "--weights", "--strategy", "--num-prompts", "--device")
    for word in (*options, "--uncertainty", "--probabilities", *kind_names()):
        assert word in done.stdout


def test_the_kinds_of_tasks_are_listed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fusion.py").write_text(
        '"""Fusion: two images -> their mean."""\n'
        'from mvg.tasks.task import TaskSpec\nSPEC = TaskSpec("fusion", inputs=2)\n'
    )
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    result = run("tasks")
    assert (result.code, result.err) == (0, "")
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert {"denoising", "fusion", "inpainting", "registration", "segmentation", "synthesis"} <= set(lines)
    assert list(lines) == sorted(lines)
    assert "1 image -> labels" in lines["segmentation"]
    assert "2 images -> field" in lines["registration"]
    assert lines["fusion"].endswith("2 images -> image   Fusion: two images -> their mean.")


def test_version_and_weights(run: Run, weights: Path) -> None:
    assert run("--version").out.strip() == mvg.__version__
    assert run("weights", "list").code == 0
    result = run("weights", "show", weights)
    assert result.code == 0
    assert "# toy" in result.out
    assert "verified" in result.out


def test_pictures_in_color_are_predicted_from_their_luminance(
    run: Run, user: Path, weights: Path, tmp_path: Path
) -> None:
    gray = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    colors = np.stack([gray, 255 - gray, gray // 2], axis=-1)
    for name in ("images/a.png", "targets/a.png", "query.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(colors if name != "targets/a.png" else (gray > 99).astype(np.uint8)).save(tmp_path / name)
    common = ("--prompts", tmp_path, "--output", tmp_path / "out", "--weights", weights)
    result = run("predict", tmp_path / "query.png", *common)
    assert result.code == 0
    lines = [line for line in result.err.splitlines() if line.endswith("their luminance is used")]
    assert sorted(line.split("'")[1] for line in lines) == [str(tmp_path), str(tmp_path / "images")]
    assert [line for line in result.err.splitlines() if line not in lines] == [
        "mvg: query.png: the same image as prompt 1: its answer says nothing about other images"
    ]
    assert read_labels(tmp_path / "out" / "query.png").shape == (32, 32, 1)
