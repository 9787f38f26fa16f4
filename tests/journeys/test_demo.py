"""The demo on real images, with toy weights: what it writes, and that its report needs nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest

from mvg.app.demo import run as demo
from mvg.app.demo import specimens
from mvg.app.demo.exhibits import Exhibit, exhibits, tissues, void_of_a_person
from mvg.app.demo.measures import likenesses, overlaps
from mvg.errors import MvgError
from mvg.imaging.files import read, read_labels
from mvg.imaging.volume import LabelMap, Volume
from tests.journeys.conftest import Run


def nothing(_what: str, _done: int, _total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def shown(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo of two exhibits: labels in a volume, a picture in a single slice."""
    output = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "exhibits", lambda seed: iter((tissues(seed), void_of_a_person(seed))))
        assert demo.run_demo(output, "cpu", nothing, str(weights)) == output / "report.html"
    return output


def test_report_needs_no_other_file(shown: Path) -> None:
    page = (shown / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert sum(source.startswith("data:image/png;base64,") for source in sources) == 3 * 5 + 5
    assert all(source.startswith(("data:image/png", "#")) for source in sources)
    assert "<script" not in page


def test_answers_lie_on_the_grids_of_their_queries(shown: Path) -> None:
    for name, reader in (("segmentation", read_labels), ("inpainting_of_a_person", read)):
        query, answer = read(shown / name / "query.nii.gz"), reader(shown / name / "answer.nii.gz")
        assert answer.shape == query.shape
        assert np.array_equal(answer.affine, query.affine)


def test_its_prompts_serve_the_command_line(shown: Path, weights: Path, run: Run, tmp_path: Path) -> None:
    where = shown / "inpainting_of_a_person"
    result = run(
        "predict", where / "query.nii.gz", "--prompts", where / "prompts", "--task", "inpainting",
        "--weights", weights, "--output", tmp_path, "--device", "cpu",
    )  # fmt: skip
    assert result.code == 0, result.err
    again, first = read(tmp_path / "query.nii.gz"), read(where / "answer.nii.gz")
    assert np.allclose(again.voxels, first.voxels, atol=1e-4)


def test_every_exhibit_is_well_posed() -> None:
    found = list(exhibits(0))
    assert {one.task for one in found} == {"segmentation", "synthesis", "inpainting", "denoising"}
    assert len({one.name for one in found}) == len(found) == demo._COUNT
    for one in found:
        posed(one)


def posed(one: Exhibit) -> None:
    """Pairs and truths on common grids; no query slice is among the prompts."""
    assert len(one.images) == len(one.targets) >= 4
    assert all(image.same_grid(target) for image, target in zip(one.images, one.targets, strict=True))
    assert one.truth is None or one.truth.same_grid(one.query)
    slices = np.moveaxis(one.query.voxels, int(np.argmin(one.query.shape)), 0)
    for image in one.images:
        shown = image.voxels.squeeze()
        assert not any(shown.shape == piece.shape and np.array_equal(shown, piece) for piece in slices)


def test_queries_lie_between_the_prompts() -> None:
    one = tissues(0)
    prompts = np.array([image.affine[2, 3] for image in one.images])
    queries = one.query.affine[2, 3] + one.query.affine[2, 2] * np.arange(one.query.shape[2])
    assert np.abs(prompts[:, None] - queries).min() == 5


def test_voids_hide_what_is_asked_for() -> None:
    one = void_of_a_person(0)
    assert one.region is not None
    assert one.region.any()
    assert not one.query.voxels[one.region].any()
    assert np.array_equal(one.query.voxels[~one.region], one.truth.voxels[~one.region])  # type: ignore[union-attr]


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dipy.data", None)
    specimens.person.cache_clear()
    with pytest.raises(MvgError, match=r"no package 'dipy'.*'\.\[demo\]'"):
        specimens.person()


def test_the_truth_itself_scores_best() -> None:
    rng = np.random.default_rng(0)
    labels = LabelMap(rng.integers(0, 3, (12, 12, 1)), np.eye(4))
    assert [one.value for one in overlaps(labels, labels, None, {1: "a", 2: "b"})] == [1, 1]
    picture = Volume(rng.random((12, 12, 1)), np.eye(4))
    noisy = Volume(picture.voxels + 0.1, np.eye(4))
    mae, psnr, ssim = likenesses(picture, picture, noisy, None)
    assert (mae.value, psnr.value, round(ssim.value, 6)) == (0, 100, 1)
    assert mae.rival == pytest.approx(0.1, rel=0.1)
    assert psnr.rival is not None
    assert psnr.rival < 25
