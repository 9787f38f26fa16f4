"""A newcomer's whole way, played in the page: a folder without labels, outlines with the mouse, finished labels."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mvg.imaging.files import write
from mvg.imaging.volume import LabelMap, Volume
from profiling.annotator import Plan, measure
from profiling.workbench import phantom
from tests.browsers import LEFT_OUT, browser_path

SHAPE = (64, 56, 10)


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Three patients in the nnU-Net raw layout, whose labels only the annotator knows."""
    folder = tmp_path / "phantoms"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        image, numbers = phantom(SHAPE, number)
        affine = np.diag([1.5, -1.5, 4.0, 1.0])
        write(Volume(image, affine), folder / "imagesTr" / f"p{number}_0000.nii.gz")
        write(LabelMap(numbers.astype(np.int32), affine), folder / "labelsTr" / f"p{number}.nii.gz")
    description = {"labels": {"background": 0, "first": 1, "second": 2}, "patient": "p[0-9]+"}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def test_three_volumes_are_labeled_in_the_browser_alone(labeled: Path) -> None:
    if browser_path() is None:
        pytest.fail(LEFT_OUT)
    plan = Plan(volumes=3, slices=3, untouched=1, browser=True)
    with ThreadPoolExecutor(1) as apart:  # the browser of other tests runs in this thread
        result = apart.submit(measure, [str(labeled)], plan).result()
    volumes = result["volumes"]
    assert [len(volume["painted"]) for volume in volumes] == [3, 3, 0]
    assert result["summary"]["mean_dice"] > 0.9
    assert result["summary"]["mean_painted_dice"] > 0.95  # a voxel off would have 0.9
    assert result["summary"]["clicks"] > 20
    painted = volumes[0]["dice"]
    assert set(painted) == {"first", "second"}
