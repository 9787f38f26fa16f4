"""`mvg predict --corrections`: what a user corrected stays, and the other slices are predicted from it."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from mvg.imaging.files import read, read_labels, write
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.manifest import checksum
from tests.journeys.conftest import Result, Run, picture, put
from tests.prediction.scans import scan

SHAPE = (32, 32, 6)


def drawn_on(labels: LabelMap, indices: tuple[int, ...], other: int) -> LabelMap:
    """Axial slices of the labels; the others have the value `other`."""
    voxels = np.full(labels.shape, other, np.int32)
    for index in indices:
        voxels[:, :, index] = labels.voxels[:, :, index]
    return replace(labels, voxels=voxels)


@pytest.fixture
def files(user: Path) -> Path:
    """The user's files with the query `head.nii.gz`, and `drawn.nii.gz` with its slices 1 and 4."""
    image, labels = scan(SHAPE, seed=5)
    put(image, user / "head.nii.gz")
    put(drawn_on(labels, (1, 4), 0), user / "drawn.nii.gz")
    return user


def one_clear_line(result: Result) -> str:
    lines = result.err.strip().splitlines()
    assert result.code == 2, result
    assert len(lines) == 1, result.err
    assert lines[0].startswith("mvg: ")
    assert "; expected " in lines[0]
    return lines[0]


@pytest.mark.parametrize("prompted", [True, False])
def test_corrected_slices_stay_and_the_others_are_predicted(
    prompted: bool, run: Run, files: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prompts = ("--prompts", files / "prompts", "--zoom", "off") if prompted else ()
    common = ("--corrections", files / "drawn.nii.gz", "--output", out, "--weights", weights)
    result = run("predict", files / "head.nii.gz", *prompts, *common)
    assert (result.code, result.out.strip()) == (0, str(out / "head.nii.gz"))
    note = "slices 1, 4 of the axial plane were taken as corrected; 4 are open (counted from 0 along array axis 2)"
    assert result.err.strip() == f"mvg: {note}"
    _, labels = scan(SHAPE, seed=5)
    predicted = read_labels(out / "head.nii.gz")
    assert predicted.affine.tobytes() == read(files / "head.nii.gz").affine.tobytes()
    for index in (1, 4):
        assert np.array_equal(predicted.voxels[:, :, index], labels.voxels[:, :, index])
    assert set(np.unique(predicted.voxels)) <= {0, 3, 700}
    assert predicted.voxels[:, :, [0, 2, 3, 5]].any(), "the others are predicted"


def test_the_unknown_value_leaves_pixels_open(run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
    _, labels = scan(SHAPE, seed=5)
    drawn = drawn_on(labels, (1, 4), 99)
    voxels = drawn.voxels.copy()
    voxels[:8, :, 4] = 99
    voxels[:, :, 0] = 0
    write(replace(drawn, voxels=voxels), files / "drawn.nii.gz")
    common = ("--output", tmp_path / "out", "--weights", weights)
    result = run("predict", files / "head.nii.gz", "--corrections", files / "drawn.nii.gz", "--unknown", 99, *common)
    assert result.code == 0, result
    assert "slices 0-1 of the axial plane were taken as corrected; slice 4 of" in result.err
    predicted = read_labels(tmp_path / "out" / "head.nii.gz").voxels
    assert np.array_equal(predicted[voxels != 99], voxels[voxels != 99])
    assert set(np.unique(predicted)) <= {0, 3, 700}


def test_corrections_in_a_folder_are_matched_by_name(run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
    for name, indices in (("head", (1, 4)), ("scan", (2,))):
        (_, labels), query = scan(SHAPE, seed=5), files / f"{name}.nii.gz"
        put(scan(SHAPE, seed=5)[0], query)
        put(drawn_on(labels, indices, 0), files / "drawn" / f"{name}.mha")
    queries = (files / "head.nii.gz", files / "scan.nii.gz")
    common = ("--output", tmp_path / "out", "--weights", weights)
    result = run("predict", *queries, "--corrections", files / "drawn", *common)
    assert result.code == 0, result
    assert [line.split()[1] for line in result.err.splitlines()] == ["head.nii.gz:", "scan.nii.gz:"]
    _, labels = scan(SHAPE, seed=5)
    for name, index in (("head", 4), ("scan", 2)):
        predicted = read_labels(tmp_path / "out" / f"{name}.nii.gz").voxels
        assert np.array_equal(predicted[:, :, index], labels.voxels[:, :, index])


def test_quiet(run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
    common = ("--output", tmp_path / "out", "--weights", weights, "-q")
    result = run("predict", files / "head.nii.gz", "--corrections", files / "drawn.nii.gz", *common)
    assert (result.code, result.out, result.err) == (0, "", "")


class TestBadInput:
    @pytest.fixture
    def refused(self, run: Run, files: Path, weights: Path, tmp_path: Path):
        """The one line about `mvg predict head.nii.gz --corrections drawn.nii.gz OPTIONS`; nothing is written."""

        def line(*options: object, query: str = "head.nii.gz") -> str:
            common = ("--corrections", files / "drawn.nii.gz", "--output", tmp_path / "out", "--weights", weights)
            result = run("predict", files / query, *common, *options)
            assert not (tmp_path / "out").exists()
            return one_clear_line(result)

        return line

    def test_another_grid(self, refused, files: Path) -> None:
        labels = read_labels(files / "drawn.nii.gz")
        write(LabelMap(labels.voxels[..., :5], labels.affine), files / "drawn.nii.gz")
        assert "differ in shape 32 x 32 x 5 and 32 x 32 x 6" in refused()

    def test_a_label_that_the_task_lacks(self, refused, files: Path) -> None:
        labels = read_labels(files / "drawn.nii.gz")
        write(replace(labels, voxels=np.where(labels.voxels == 3, 8, labels.voxels)), files / "drawn.nii.gz")
        assert "the label 8 in a correction; expected one of 0, 3, 700" in refused("--prompts", files / "prompts")

    def test_no_labeled_voxel(self, refused, files: Path) -> None:
        labels = read_labels(files / "drawn.nii.gz")
        write(replace(labels, voxels=0 * labels.voxels), files / "drawn.nii.gz")
        assert "without a labeled voxel" in refused()
        write(replace(labels, voxels=np.where(labels.voxels > 0, 255, 0)), files / "drawn.nii.gz")
        assert "255, which means unknown" in refused()

    def test_a_task_with_pictures(self, refused, files: Path) -> None:
        assert "corrections of a denoising" in refused("--prompts", files / "prompts", "--task", "denoising")

    def test_fractions(self, refused, files: Path) -> None:
        labels = read_labels(files / "drawn.nii.gz")
        write(Volume(labels.voxels / 2 + 0.25, labels.affine), files / "drawn.nii.gz")
        assert "holds fractions" in refused()

    def test_a_label_that_means_unknown(self, refused, files: Path) -> None:
        assert "3 is a label of the prompts" in refused("--prompts", files / "prompts", "--unknown", 3)

    @pytest.mark.parametrize(
        "options",
        [
            ("--uncertainty",), ("--probabilities",), ("--quality",), ("--tune", 1), ("--save-task", "a.mvgtask"),
            ("--zoom", "off"), ("--ensemble", 2), ("--task", "segmentation"), ("--cross-check",),
        ],
    )  # fmt: skip
    def test_options_that_do_nothing(self, options: tuple[object, ...], refused) -> None:
        assert f"{options[0]} with corrections" in refused(*options)

    def test_several_queries_with_one_file(self, refused, files: Path) -> None:
        assert "is one label map for 2 queries" in refused(files / "scan.nii.gz")

    def test_a_folder_that_lacks_a_query(self, run: Run, files: Path, tmp_path: Path) -> None:
        (files / "drawn").mkdir()
        common = ("--corrections", files / "drawn", "--output", tmp_path / "out")
        assert "no corrections of head.nii.gz" in one_clear_line(run("predict", files / "head.nii.gz", *common))

    def test_the_label_map_is_not_overwritten(self, run: Run, files: Path, weights: Path) -> None:
        (files / "edited").mkdir()
        shutil.copy(files / "drawn.nii.gz", files / "edited" / "head.nii.gz")
        common = ("--corrections", files / "edited", "--output", files / "edited", "--weights", weights)
        assert "would overwrite the input" in one_clear_line(run("predict", files / "head.nii.gz", *common))

    def test_the_image_instead_of_a_label_map(self, run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
        image, _ = scan(SHAPE, seed=5)
        put(replace(image, voxels=image.voxels.round().astype(np.int16)), files / "gray.nii.gz")
        common = ("--corrections", files / "gray.nii.gz", "--output", tmp_path / "out", "--weights", weights)
        line = one_clear_line(run("predict", files / "gray.nii.gz", *common))
        assert "gray.nii.gz' looks like a picture" in line
        assert not list((tmp_path / "out").glob("*.nii.gz"))

    def test_a_task_that_predicts_pictures(self, run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
        """This is said at once, whatever the corrections hold."""
        prompts = ("--prompts", files / "prompts", "--task", "denoising")
        common = (*prompts, "--corrections", files / "head.nii.gz", "--output", tmp_path / "out", "--weights", weights)
        assert "corrections of a denoising" in one_clear_line(run("predict", files / "head.nii.gz", *common))

    def test_neither_prompts_nor_corrections(self, run: Run, files: Path, tmp_path: Path) -> None:
        line = one_clear_line(run("predict", files / "head.nii.gz", "--output", tmp_path / "out"))
        assert "--prompts, or --corrections" in line


def test_a_picture(run: Run, weights: Path, tmp_path: Path) -> None:
    """Of a single slice, the corrected part stays, and a task predicts the rest."""
    image = picture()
    labels = (image.voxels > 128).astype(np.uint8)
    put(image, tmp_path / "prompts" / "images" / "a.png")
    put(LabelMap(labels, image.affine), tmp_path / "prompts" / "targets" / "a.png")
    drawn = np.full_like(labels, 255)
    drawn[:9] = labels[:9]
    put(LabelMap(drawn, image.affine), tmp_path / "drawn.png")
    put(picture(seed=1), tmp_path / "film.png")
    common = ("--prompts", tmp_path / "prompts", "--output", tmp_path / "out", "--weights", weights)
    result = run("predict", tmp_path / "film.png", "--corrections", tmp_path / "drawn.png", *common)
    assert result.code == 0, result
    assert np.array_equal(read_labels(tmp_path / "out" / "film.png").voxels[:9], labels[:9])


def test_a_record_keeps_what_is_done(run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
    """Until the corrections change; `manifest.json` and `report.html` say what was made."""
    out = tmp_path / "out"
    command = ("predict", files / "head.nii.gz", "--corrections", files / "drawn.nii.gz", "--output", out)
    first = run(*command, "--weights", weights)
    assert first.code == 0
    entry = json.loads((out / "manifest.json").read_text())["answers"]["head.nii.gz"]
    assert entry["status"] == "done"
    assert set(entry["labels"]) <= {"3", "700"}
    assert entry["corrections_sha256"] == checksum(files / "drawn.nii.gz")
    assert "head.nii.gz" in (out / "report.html").read_text()
    again = run(*command, "--weights", weights)
    assert "1 of 1 answers were done" in again.err
    assert run(*command, "--weights", weights, "--overwrite").err == first.err
    put(drawn_on(scan(SHAPE, seed=5)[1], (2,), 0), files / "drawn.nii.gz")
    assert "slice 2 of the axial plane" in run(*command, "--weights", weights).err
    assert "were done" not in run(*command, "--weights", weights, "--unknown", 77).err


def test_query_and_corrections_at_urls(
    run: Run, files: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    memory = fsspec.filesystem("memory")
    for name in ("head", "drawn"):
        memory.pipe_file(f"/corrected/{name}.nii.gz", (files / f"{name}.nii.gz").read_bytes())
    head, drawn = (f"memory://corrected/{name}.nii.gz" for name in ("head", "drawn"))
    local = ("predict", files / "head.nii.gz", "--corrections", files / "drawn.nii.gz", "--weights", weights)
    assert run(*local, "--output", tmp_path / "local").code == 0
    truth = read_labels(tmp_path / "local" / "head.nii.gz").voxels
    for number, (query, corrections) in enumerate(
        [(head, drawn), (files / "head.nii.gz", drawn), (head, files / "drawn.nii.gz")]
    ):
        command = ("predict", query, "--corrections", corrections, "--weights", weights, "--output")
        done = run(*command, tmp_path / str(number))
        assert done.code == 0, done
        assert (read_labels(tmp_path / str(number) / "head.nii.gz").voxels == truth).all()
        assert "were done" in run(*command, tmp_path / str(number)).err
    assert list((tmp_path / "temporary").iterdir()) == []
    memory.pipe_file("/corrected/drawn.nii.gz", b"no image")
    done = run("predict", head, "--corrections", drawn, "--weights", weights, "--output", tmp_path / "bad")
    assert done.code == 2
    assert "'memory://corrected/drawn.nii.gz' cannot be read" in done.err
    folder = run("predict", head, "--corrections", "memory://corrected", "--output", tmp_path / "bad")
    assert "the URL of one label map" in one_clear_line(folder)


def test_queries_unlike_the_prompts_are_named(run: Run, files: Path, weights: Path, tmp_path: Path) -> None:
    image, _ = scan(SHAPE, seed=5)
    put(Volume(np.full(SHAPE, 7.0), image.affine), files / "head.nii.gz")
    common = ("--corrections", files / "drawn.nii.gz", "--weights", weights, "--prompts", files / "prompts")
    command = ("predict", files / "head.nii.gz", *common, "--zoom", "off", "--output", tmp_path / "out")
    assert "all voxels are 7" in run(*command).err
    assert "all voxels are 7" in one_clear_line(run(*command, "--strict", "--overwrite"))
