"""nnU-Net's regions: what a label map shows of classes that overlap."""

import json
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.app.exporting import Answered, export_data_set
from mvg.data.case_labels import read_case_labels, with_regions
from mvg.data.regions import region_names, regions_of, renumbered_regions, written_values
from mvg.data.sets.nnunet import open as open_folder
from mvg.errors import FileError
from mvg.imaging.files import read, write
from mvg.imaging.volume import IGNORED, LabelMap
from mvg.prediction.prompts.folder import open_prompts
from tests.data.folders import make_mri, write_description

SHAPE = (12, 10, 3)
BRATS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing": 3}
"""As BraTS had it: 1 necrosis, 2 edema, 3 enhancing."""


def test_a_well_chosen_order_gives_the_values_of_the_files() -> None:
    regions = regions_of({"labels": BRATS, "regions_class_order": [2, 1, 3]})
    assert written_values(regions) == ((1, 1), (2, 2), (3, 3))
    assert region_names(regions) == {
        2: "whole tumor without tumor core", 1: "tumor core without enhancing", 3: "enhancing",
    }  # fmt: skip


@given(st.permutations([1, 2, 3]), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_a_label_map_is_painted_region_by_region(order: list[int], values: list[int]) -> None:
    regions = regions_of({"labels": BRATS, "regions_class_order": order})
    labels = LabelMap(np.array(values, np.uint8).reshape(2, 2, 2), np.eye(4))
    painted = np.zeros(labels.shape, np.int64)
    for inside, value in zip(((1, 2, 3), (1, 3), (3,)), order, strict=True):
        painted[np.isin(labels.voxels, inside)] = value
    assert np.array_equal(with_regions(labels, written_values(regions)).voxels, painted)


def test_values_of_one_region_become_one_class_everywhere(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE, "pat2": SHAPE})
    write_description(folder, labels={"background": 0, "organ": [1, 2]}, regions_class_order=[7])
    data = open_folder(folder)
    assert data.card.labels == {7: "organ"}
    assert read_case_labels(data.cases[0], data.card).values == (7,)
    prompts = open_prompts(folder)
    assert prompts.label_names == {7: "organ"}
    target = prompts.targets[0]
    assert isinstance(target, LabelMap)
    assert target.values == (7,)


def test_ignored_values_stay_ignored_beside_regions(tmp_path: Path) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    write_description(folder, labels={"background": 0, "organ": [1], "ignore": 2}, regions_class_order=[1])
    data = open_folder(folder)
    assert data.card.labels == {1: "organ", 2: "ignore"}
    stored = np.asarray(nib.load(folder / "labelsTr" / "pat1.nii.gz").dataobj)
    assert np.array_equal(read_case_labels(data.cases[0], data.card).voxels == IGNORED, stored == 2)


NESTED = st.lists(st.sets(st.integers(1, 6), min_size=1), min_size=1, max_size=4).map(
    lambda sets: [set.intersection(*sets[: number + 1]) for number in range(len(sets))]
)


@given(NESTED, st.lists(st.integers(0, 6), min_size=8, max_size=8), st.randoms(use_true_random=False))
def test_exported_label_maps_show_the_same_regions(inside: list[set[int]], values: list[int], random: Random) -> None:
    """Those that later ones do not cover; values are numbered anew, without gaps."""
    named = {f"region {number}": sorted(members) for number, members in enumerate(inside) if members}
    order = random.sample(range(1, 20), len(named))
    regions = regions_of({"labels": named, "regions_class_order": order})
    stored = LabelMap(np.array(values, np.uint8).reshape(2, 2, 2), np.eye(4))
    painted = with_regions(stored, written_values(regions)).voxels * np.isin(stored.voxels, [*inside[0]])
    numbers = {value: number for number, value in enumerate(sorted({new for _, new in written_values(regions)}), 1)}
    description = renumbered_regions(regions, numbers)
    again = {region.name: region for region in regions_of(description)}
    assert set(region_names(regions)) == {order[list(named).index(name)] for name in again}
    for name, region in again.items():
        truth = np.isin(stored.voxels, named[name])
        assert np.array_equal(np.isin(painted, [old for old, new in numbers.items() if new in region.values]), truth)
    assert sorted(numbers.values()) == list(range(1, len(numbers) + 1)) == sorted(description["regions_class_order"])


def test_regions_that_overlap_in_part_cannot_be_exported() -> None:
    regions = regions_of({"labels": {"left": [1, 2], "right": [2, 3]}, "regions_class_order": [1, 2]})
    with pytest.raises(ValueError, match="do not show the region 'left'"):
        renumbered_regions(regions, {1: 1, 2: 2})


def test_answers_with_regions_become_a_data_set_with_regions(tmp_path: Path) -> None:
    prompts, raw = make_mri(tmp_path / "heads", {"pat1": SHAPE}), tmp_path / "Dataset501_Heads"
    write_description(prompts, labels=BRATS, regions_class_order=[20, 10, 30])
    predictions = tmp_path / "answers"
    predictions.mkdir()
    stored = np.random.default_rng(0).choice([0, 10, 20], SHAPE).astype(np.uint8)
    query = prompts / "imagesTr" / "pat1_0000.nii.gz"
    write(LabelMap(stored, read(query).affine), predictions / "pat1.nii.gz")
    assert export_data_set(Answered([query], predictions), raw, prompts) == [
        f"label {n}0 is {n} in the data set" for n in (1, 2, 3)
    ]
    description = json.loads((raw / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing": 3}
    assert description["regions_class_order"] == [2, 1, 3]
    again = open_prompts(raw)
    assert again.label_names[2] == "whole tumor without tumor core"
    target = again.targets[0]
    assert isinstance(target, LabelMap)
    assert np.array_equal(target.voxels, stored // 10)
    write(LabelMap(np.full(SHAPE, 9, np.uint8), read(query).affine), predictions / "pat1.nii.gz")
    with pytest.raises(FileError, match="the answers hold the label 9"):
        export_data_set(Answered([query], predictions), tmp_path / "Dataset502_Heads", prompts)


@pytest.mark.parametrize("order", [[1], [1, 1], [0, 1], "12", ["a", 2], 3])
def test_an_order_that_does_not_fit_is_one_line(tmp_path: Path, order: object) -> None:
    folder = make_mri(tmp_path / "heads", {"pat1": SHAPE})
    write_description(folder, labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=order)
    if order == "12":
        assert open_folder(folder).card.labels == {1: "whole without core", 2: "core"}
        return
    with pytest.raises(FileError, match="regions_class_order"):
        open_folder(folder)
