"""The demo on real images, with toy weights: what it writes, and that its report needs no other file."""

import base64
import io
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mvg.app.demo import run as demo
from mvg.app.demo.drawing import ExhibitResult, panels
from mvg.app.demo.exhibit import Exhibit, Registered
from mvg.app.demo.exhibits import exhibits, reconstructed, registered, tissues, void_of_a_person
from mvg.app.demo.measures import image_measures, label_measures
from mvg.app.demo.overview import write_overview
from mvg.errors import FileError, MvgError
from mvg.imaging.files import read, read_labels
from mvg.imaging.overlay import color_of
from mvg.imaging.volume import LabelMap, Volume
from mvg.tasks import kind_names
from tests.journeys.conftest import Run


def no_progress(_work: str, _done: int, _total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def output(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo of four exhibits: labels in a volume, a picture in a slice, and two other ways."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        chosen = (tissues, partial(void_of_a_person, 0), registered, partial(reconstructed, 0))
        patch.setattr(demo, "exhibits", lambda _: chosen)
        assert demo.run_demo(folder, "cpu", no_progress, str(weights)) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(output: Path) -> str:
    return (output / "report.html").read_text(encoding="utf-8")


def test_report_needs_no_other_file(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sum(source.startswith("data:image/png;base64,") for source in sources) == 3 * 5 + 3 * 5
    assert all(source.startswith(("data:image/png", "#")) for source in sources)
    assert "<script" not in page


def test_report_embeds_pictures_with_color(page: str) -> None:
    data = re.findall(r'base64,([^"]+)"', page)
    target = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))
    assert np.ptp(target, axis=2).max() > 30, "the labels of a prompt's target have colors"


def test_report_shows_the_measures_of_the_predictions(page: str, output: Path) -> None:
    truth, prediction = (read_labels(output / "segmentation" / f"{name}.nii.gz") for name in ("truth", "answer"))
    for name, measure in zip(
        ("gray matter", "white matter"),
        label_measures(prediction, truth, None, {1: "gray matter", 2: "white matter"}),
        strict=True,
    ):
        assert f'<td>Dice, {name}</td><td class="value">{measure.text}</td>' in page
        assert f"rgb{color_of(1)}" in page
    assert "copying the nearest prompt&#39;s target" in page
    exhibit = void_of_a_person(0)
    predicted, truth_image = (read(output / exhibit.name / f"{name}.nii.gz") for name in ("answer", "truth"))
    measure, *_ = image_measures(predicted, truth_image, exhibit.query, exhibit.region)
    assert measure.text != image_measures(predicted, truth_image, None, None)[0].text, "the void alone is measured"
    assert f'<td class="value">{measure.text}</td><td>{measure.rival_text}</td>' in page
    assert "leaving the query as it is" in page


def test_overview_has_a_row_for_each_exhibit(output: Path) -> None:
    sheet = np.asarray(Image.open(output / "overview.png"))
    dark = (sheet.reshape(len(sheet), -1) == 0).any(axis=1)
    assert np.count_nonzero(np.diff(dark.astype(int)) == 1) >= 4


def test_predictions_have_the_grids_of_their_queries(output: Path) -> None:
    for name, reader in (("segmentation", read_labels), ("inpainting_of_a_person", read)):
        query, prediction = read(output / name / "query.nii.gz"), reader(output / name / "answer.nii.gz")
        assert prediction.shape == query.shape
        assert np.array_equal(prediction.affine, query.affine)


def test_its_prompts_serve_the_command_line(output: Path, weights: Path, run: Run, tmp_path: Path) -> None:
    folder = output / "inpainting_of_a_person"
    result = run(
        "predict", folder / "query.nii.gz", "--prompts", folder / "prompts", "--task", "inpainting",
        "--weights", weights, "--output", tmp_path, "--device", "cpu",
    )  # fmt: skip
    assert result.code == 0, result.err
    again, first = read(tmp_path / "query.nii.gz"), read(folder / "answer.nii.gz")
    assert np.allclose(again.voxels, first.voxels, atol=1e-4)


def test_registration_and_raw_data_serve_the_command_line(output: Path, run: Run, tmp_path: Path) -> None:
    page = (output / "report.html").read_text(encoding="utf-8")
    for name, result, reader in (
        ("registration", "aligned/labels.nii.gz", read_labels),
        ("reconstruction", "reconstructed/raw.nii.gz", read),
    ):
        (command,) = re.findall(rf"<code>mvg (\S+ [^<]*{output / name}[^<]*)</code>", page)
        arguments = [tmp_path / word if word == result.split("/", maxsplit=1)[0] else word for word in command.split()]
        without_model = ("--rounds", "0") if name == "reconstruction" else ()
        done = run(*arguments, *without_model, "--quiet")
        assert done.code == 0, done.err
        answer = reader(output / name / "answer.nii.gz")
        assert sorted(reader(tmp_path / result).shape) == sorted(answer.shape)  # raw data name no plane


def test_every_exhibit_is_well_posed() -> None:
    everything = [make() for make in exhibits(0)]
    assert {exhibit.task for exhibit in everything} == set(kind_names()) - {"skull_stripping"}  # no head has its skull
    assert len({exhibit.name for exhibit in everything}) == len(everything) == len(exhibits(0))
    for exhibit in everything:
        check_grids_and_leakage(exhibit)


def check_grids_and_leakage(exhibit: Exhibit) -> None:
    """Pairs and truths have common grids; no query slice is among the prompts."""
    assert len(exhibit.images) == len(exhibit.targets) >= (1 if isinstance(exhibit.way, Registered) else 4)
    assert all(image.same_grid(target) for image, target in zip(exhibit.images, exhibit.targets, strict=True))
    assert exhibit.truth is None or exhibit.truth.same_grid(exhibit.query)
    slices = np.moveaxis(exhibit.query.voxels, int(np.argmin(exhibit.query.shape)), 0)
    for image in exhibit.images:
        prompt = image.voxels.squeeze()
        assert not any(prompt.shape == one.shape and np.array_equal(prompt, one) for one in slices)


def test_queries_lie_between_the_prompts() -> None:
    exhibit = tissues()
    prompts = np.array([image.affine[2, 3] for image in exhibit.images])
    queries = exhibit.query.affine[2, 3] + exhibit.query.affine[2, 2] * np.arange(exhibit.query.shape[2])
    assert np.abs(prompts[:, None] - queries).min() == 5


def test_voids_hide_the_truth() -> None:
    exhibit = void_of_a_person(0)
    assert exhibit.region is not None
    assert exhibit.region.any()
    assert not exhibit.query.voxels[exhibit.region].any()
    known = ~exhibit.region
    assert np.array_equal(exhibit.query.voxels[known], exhibit.truth.voxels[known])  # type: ignore[union-attr]


def test_panels_show_the_nearest_prompt_and_outline_voids() -> None:
    exhibit = void_of_a_person(0)
    result = ExhibitResult(exhibit, exhibit.query, (), "", 0.0)
    drawn = panels(result, 0)
    assert [panel.is_prediction for panel in drawn] == [False, False, False, True, False]
    assert np.ptp(drawn[3].picture, axis=2).max() > 100, "the line around a void has a color"
    distances = [abs(image.affine[1, 3]) for image in exhibit.images]
    nearest = int(np.argmin(distances))
    alone = replace(exhibit, images=exhibit.images[nearest:][:1], targets=exhibit.targets[nearest:][:1])
    assert np.array_equal(panels(replace(result, exhibit=alone), 0)[0].picture, drawn[0].picture)


def test_the_rival_copies_the_nearest_prompt() -> None:
    exhibit = tissues()
    rival, name = exhibit.way.rival(exhibit)
    assert rival is not None
    assert name.startswith("copying")
    assert rival.same_grid(exhibit.query)
    for index in range(rival.shape[2]):
        copied = rival.voxels[:, :, index]
        candidates = exhibit.targets[index : index + 2]  # one before and one after the slice, equally near
        assert any(np.array_equal(copied, target.voxels[:, :, 0]) for target in candidates)
    exhibit = void_of_a_person(0)
    untouched, name = exhibit.way.rival(exhibit)
    assert isinstance(untouched, Volume)
    assert name.startswith("leaving")


def test_a_missing_package_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "dipy", None)
    with pytest.raises(MvgError, match=r"no package 'dipy'.*'\.\[demo\]'"):
        demo.run_demo(tmp_path, "cpu", no_progress)


def test_the_truth_itself_scores_best() -> None:
    rng = np.random.default_rng(0)
    labels = LabelMap(rng.integers(0, 3, (12, 12, 1)), np.eye(4))
    assert [measure.value for measure in label_measures(labels, labels, None, {1: "a", 2: "b"})] == [1, 1]
    picture = Volume(rng.random((12, 12, 1)), np.eye(4))
    noisy = Volume(picture.voxels + 0.1, np.eye(4))
    mae, psnr, ssim = image_measures(picture, picture, noisy, None)
    assert (mae.value, psnr.value, round(ssim.value, 6)) == (0, 100, 1)
    assert mae.rival == pytest.approx(0.1, rel=0.1)
    assert psnr.rival is not None
    assert psnr.rival < 25


def test_an_overview_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_sheet: Image.Image, path: Path, **_options: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "overview.png").write_bytes(b"before")
    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(FileError, match=r"could not be written \(No space left"):
        write_overview([], tmp_path / "overview.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
