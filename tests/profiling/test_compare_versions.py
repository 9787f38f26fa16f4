"""Two versions of mvg are compared: requests are fixed and fair, any interface is served, differences are noticed."""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from profiling.compare_versions import main, summary
from profiling.comparison.measures import label_difference, picture_difference
from profiling.comparison.requests import RequestPlan, build, read_array
from profiling.comparison.versions import Version, predict

# Three stand-ins for mvg: thresholds at `level`, and refuses what its interface does not know.
_PACKAGE = """
import numpy as np, nibabel
__version__ = "0"
class Volume:
    def __init__(self, voxels, affine): self.voxels, self.affine, self.volume = voxels, affine, self
def read(path):
    image = nibabel.load(path)
    return Volume(np.asarray(image.dataobj), image.affine)
read_labels = read
class Predictor:
    def prompt(self, images, targets, task=None, *, {parameters}):
        assert all(one.voxels.shape == other.voxels.shape for one, other in zip(images, targets))
        assert {check}
        return lambda query: Volume((query.voxels > {level}).astype(np.uint8), query.affine)
def load(weights, device): return Predictor()
"""
_OPTIONS = """
from dataclasses import dataclass
@dataclass
class PredictionOptions:
    zoom: str = "auto"
"""


def make_version(folder: Path, parameters: str, check: str, level: float = 0.5) -> Version:
    package = folder / "mvg"
    (package / "prediction").mkdir(parents=True)
    text = _PACKAGE.format(parameters=parameters, check=check, level=level)
    (package / "__init__.py").write_text(text, encoding="utf-8")
    (package / "prediction" / "__init__.py").touch()
    (package / "prediction" / "options.py").write_text(_OPTIONS, encoding="utf-8")
    return Version(folder, sys.executable, "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve patients with two cases each; numbers 10 to 12 are held out, and patient 9's labels are empty."""
    folder, rng = tmp_path / "data" / "heart", np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for patient in range(1, 13):
        for frame in (1, 2):
            image = rng.integers(1, 200, (12, 10, 4), np.uint8)
            labels = (image > 100).astype(np.uint8) * (patient != 9)
            case = f"patient{patient:03d}_frame{frame}"
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / "imagesTr" / f"{case}_0000.nii.gz")
            nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / "labelsTr" / f"{case}.nii.gz")
    about = {"file_ending": ".nii.gz", "patient": r"patient\d+"}
    (folder / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    listed = {"other and heart": "cases 011 to 012", "heart": ["patient (10)"]}
    (folder.parent / "held_out.json").write_text(json.dumps(listed), encoding="utf-8")
    return folder.parent


class TestRequests:
    def test_prompts_are_of_other_patients_and_nobody_is_held_out(self, data: Path, tmp_path: Path) -> None:
        request = build(RequestPlan("heart", prompts=4), [data], tmp_path / "work", 0)
        assert request is not None
        assert [query.image.name[:10] for query in request.queries] == ["patient007", "patient008"]
        assert [image.name[:10] for image, _ in request.prompts] == [f"patient00{number}" for number in (1, 2, 3, 4)]

    def test_more_cases_of_a_patient_where_patients_do_not_suffice(self, data: Path, tmp_path: Path) -> None:
        request = build(RequestPlan("heart"), [data], tmp_path / "work", 0)
        assert request is not None
        assert len(request.prompts) == 8
        assert not {image.name[:10] for image, _ in request.prompts} & {"patient007", "patient008"}

    def test_slices_are_thinned_alike(self, data: Path, tmp_path: Path) -> None:
        request = build(RequestPlan("heart", step=2), [data], tmp_path / "work", 0)
        assert request is not None
        image, truth = (read_array(path) for path in request.prompts[0])
        assert image.shape == truth.shape == (12, 10, 2)
        assert np.array_equal(truth, image > 100)

    def test_voids_depend_on_the_seed_alone(self, data: Path, tmp_path: Path) -> None:
        plan = RequestPlan("heart", "inpainting", "before voids")
        queries = []
        for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
            request = build(plan, [data], tmp_path / folder, seed)
            assert request is not None
            queries.append(request.queries[0])
        first, again, other = (read_array(query.image) for query in queries)
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert queries[0].region is not None
        voids = read_array(queries[0].region) > 0
        assert not first[voids].any()
        assert np.array_equal(first[~voids], read_array(queries[0].truth)[~voids])

    def test_a_missing_set(self, data: Path, tmp_path: Path) -> None:
        assert build(RequestPlan("liver"), [data], tmp_path / "work", 0) is None


class TestVersions:
    @pytest.mark.parametrize(
        ("parameters", "check"),
        [
            ("look='close', seed=0", "look == 'whole'"),
            ("zoom='auto', seed=0", "zoom == 'off'"),
            ("options=None", "options.zoom == 'off'"),
        ],
    )
    def test_every_interface_is_served(self, data: Path, tmp_path: Path, parameters: str, check: str) -> None:
        request = build(RequestPlan("heart", options={"zoom": "off"}), [data], tmp_path / "work", 0)
        assert request is not None
        outcome = predict(make_version(tmp_path / "new", parameters, check), request, tmp_path / "done", None)
        assert outcome.error == ""
        assert np.array_equal(outcome.predictions[0], read_array(request.queries[0].image) > 0.5)
        assert outcome.seconds["process"] > outcome.seconds["prompts"] >= 0

    def test_a_failure_is_reported_and_not_kept(self, data: Path, tmp_path: Path) -> None:
        request = build(RequestPlan("heart", options={"propagate": 0.5}), [data], tmp_path / "work", 0)
        assert request is not None
        outcome = predict(make_version(tmp_path / "new", "seed=0", "True"), request, tmp_path / "done", None)
        assert "takes no 'propagate'" in outcome.error
        assert not (tmp_path / "done" / "outcome.json").exists()

    def test_an_outcome_is_kept(self, data: Path, tmp_path: Path) -> None:
        request = build(RequestPlan("heart"), [data], tmp_path / "work", 0)
        assert request is not None
        version = make_version(tmp_path / "new", "seed=0", "True")
        first, second = (predict(version, request, tmp_path / "done", None) for _ in range(2))
        assert not first.cached
        assert second.cached
        assert np.array_equal(first.predictions[1], second.predictions[1])

    def test_changed_sources_have_another_digest(self, tmp_path: Path) -> None:
        levels = [make_version(tmp_path / str(level), "seed=0", "True", level) for level in (1, 2)]
        assert levels[0].digest() != levels[1].digest()

    @pytest.mark.parametrize(("level", "code", "verdict"), [(0.5, 0, "identical"), (150, 1, "different")])
    def test_the_program(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: float, code: int, verdict: str
    ) -> None:
        """The set stands for the hippocampus; no other set is there."""
        (data / "heart").rename(data / "hippocampus")
        for name, threshold in (("old", 0.5), ("new", level)):
            make_version(tmp_path / name, "seed=0", "True", threshold)
        sources = ["--old-source", str(tmp_path / "old"), "--new-source", str(tmp_path / "new")]
        output = tmp_path / "result.json"
        command = ["compare_versions", *sources, "--data", str(data), "--quick", "--output", str(output)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stop:
            main()
        result = json.loads(output.read_text(encoding="utf-8"))
        assert stop.value.code == code
        assert [query["verdict"] for query in result["requests"][0]["queries"]] == [verdict]
        assert result["summary"][verdict] == 1
        assert {"command", "old_commit", "new_commit", "cpu", "seed"} <= set(result["provenance"])


class TestMeasures:
    labels = np.random.default_rng(0).integers(0, 3, (40, 40, 10))

    def test_the_same_labels(self) -> None:
        difference = label_difference(self.labels, self.labels.copy(), self.labels)
        assert (difference.verdict, difference.dice, difference.differing_slices) == ("identical", 1, ())

    def test_a_voxel_is_within_the_tolerance(self) -> None:
        new = self.labels.copy()
        new[3, 4, 2] = (new[3, 4, 2] + 1) % 3
        difference = label_difference(self.labels, new, self.labels)
        assert (difference.verdict, difference.differing_slices, difference.differing_voxels) == ("same", (2,), 1)

    def test_swapped_labels_differ(self) -> None:
        swapped = np.array([0, 2, 1])[self.labels]
        difference = label_difference(self.labels, swapped, self.labels)
        assert (difference.verdict, difference.dice) == ("different", 0)

    def test_a_label_that_vanishes_from_a_slice_is_counted_apart(self) -> None:
        new = self.labels.copy()
        new[:, :, 1][new[:, :, 1] == 2] = 0
        difference = label_difference(self.labels, new, self.labels)
        assert difference.flipped_slices == (1,)
        assert difference.dice is not None
        assert difference.dice < 0.999
        assert (difference.dice_without_flipped_slices, difference.verdict) == (1, "same")

    def test_labels_that_vanish_from_many_slices_differ(self) -> None:
        new = np.where(self.labels == 2, 0, self.labels)
        assert label_difference(self.labels, new, self.labels).verdict == "different"

    def test_decibels(self) -> None:
        truth = np.zeros((8, 8, 2))
        difference = picture_difference(truth + 2, truth + 1, truth, None)
        assert difference.decibels == pytest.approx(20 * np.log10(2), abs=1e-4)
        assert (difference.verdict, difference.largest_difference) == ("different", 1)

    def test_decibels_of_a_region(self) -> None:
        truth, region = np.zeros((8, 8, 2)), np.zeros((8, 8, 2), bool)
        region[:4] = True
        new = np.where(region, 1.0, 5.0)
        assert picture_difference(truth + 1, new, truth, region).verdict == "same"
        assert picture_difference(truth + 1, new, truth, ~region).verdict == "different"

    def test_ratios_are_of_requests_that_succeeded(self) -> None:
        def record(old: float, new: float) -> dict[str, object]:
            seconds = {who: {"prompts": 1.0, "queries": [total - 1], "process": 9.0}
                       for who, total in (("old", old), ("new", new))}  # fmt: skip
            return {"queries": [], "seconds": seconds}

        broken = record(2, 50) | {"errors": {"new": "a line"}}
        total = summary([record(4, 2), record(6, 3), broken])
        assert (total["old_seconds"], total["ratio"], total["failed"]) == (10, 0.5, 1)
