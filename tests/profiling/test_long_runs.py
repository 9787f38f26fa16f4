"""The annotator, the kills and the soak in small: they run, and notice what is lost."""

import json
from pathlib import Path

import numpy as np

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from profiling import annotator, kills, soak
from profiling.workbench import phantom
from tests.server.processes import toy_weights


def make_set(folder: Path, count: int) -> Path:
    """Phantoms in the nnU-Net raw layout, two volumes of each patient, upside down in the file."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    affine = np.diag([-1.0, 1, -2, 1])
    for number in range(2 * count):
        image, labels = phantom((32, 32, 8), number)
        case = f"p{number // 2}_{number % 2}"
        write(Volume(image, affine), folder / "imagesTr" / f"{case}_0000.nii.gz")
        write(LabelMap(labels, affine), folder / "labelsTr" / f"{case}.nii.gz")
    facts = {"labels": {"background": 0, "first": 1, "second": 2}, "patient": "p[0-9]+"}
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder


def test_the_annotator_paints_the_truth_of_one_volume_a_patient(tmp_path: Path) -> None:
    plan = annotator.Plan(volumes=4, slices=8, untouched=1, weights=str(toy_weights(tmp_path)))
    result = annotator.measure([f"{make_set(tmp_path / 'set', 4)}:3"], plan)
    rows = result["volumes"]
    assert len({row["case"][:2] for row in rows}) == 3
    assert [len(row["painted"]) > 0 for row in rows] == [True, True, False]
    for row in rows[:2]:
        assert len(set(row["painted"])) == len(row["painted"]) <= 8
        assert len(row["painted"]) < 8 or row["mean_dice"] == 1, "what is painted whole is as it was painted"
    assert result["summary"]["painted_slices"] == sum(len(row["painted"]) for row in rows)
    assert result["summary"]["clicks"] > 2 * result["summary"]["painted_slices"]


def test_the_annotator_may_paint_every_volume(tmp_path: Path) -> None:
    plan = annotator.Plan(volumes=1, slices=1, untouched=0, weights=str(toy_weights(tmp_path)))
    result = annotator.measure([str(make_set(tmp_path / "set", 1))], plan)
    assert [len(row["painted"]) for row in result["volumes"]] == [1]


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    result = kills.measure(1, 0, str(toy_weights(tmp_path)))
    assert (result["kills"], result["lost"]) == (1, [])
    assert result["accepted_strokes"] > 0


def test_a_soak_measures_at_intervals(tmp_path: Path) -> None:
    samples = soak.measure(0.05, 0, str(toy_weights(tmp_path)))
    assert samples[0].memory_mib > 50
    assert samples[0].threads >= 1
    many = [soak.Sample(float(number), number, 100 + 2 * number, 3, 9) for number in range(30)]
    assert soak.summary(many)["growth_mib_per_hour"] == 120
