"""Images and targets whose grids are written differently: the same points in space are one grid, others are refused."""

import itertools
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations

import mvg
from mvg.errors import GeometryError
from mvg.imaging.lattice import onto_lattice
from mvg.imaging.volume import LabelMap, Volume
from mvg.prediction.options import PredictionOptions
from tests.prediction.bodies import AFFINE, body, predictor

ORDERS = [
    np.array(list(zip(axes, signs, strict=True)), float)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def reordered(labels: LabelMap, order: np.ndarray, noise: float = 0.0) -> LabelMap:
    """The same voxels in space, stored along other axes; noise: of the affine, in mm."""
    affine = labels.affine @ orientations.inv_ornt_aff(order, labels.shape)
    affine[:3, 3] += noise
    return LabelMap(orientations.apply_orientation(labels.voxels, order), affine)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(ORDERS), st.floats(-0.02, 0.02), st.floats(0, 80), st.floats(0, 0.01))
def test_other_orders_of_axes_are_the_same_grid(order: np.ndarray, noise: float, angle: float, shear: float) -> None:
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn[:3, :3] = np.array([[1, shear, 0], [0, cosine, -sine], [0, sine, cosine]])
    image, labels = body(1, affine=turn @ AFFINE)
    again = onto_lattice(reordered(labels, order, noise), image, 0.1)
    assert again is not None
    assert np.array_equal(again.voxels, labels.voxels)


@given(st.floats(0.2, 40), st.integers(0, 2))
def test_voxels_elsewhere_are_another_grid(shift: float, axis: int) -> None:
    image, labels = body(1)
    affine = labels.affine.copy()
    affine[axis, 3] += shift
    assert onto_lattice(LabelMap(labels.voxels, affine), image, 0.1) is None


def test_prompts_in_other_orders_are_the_same_prompts() -> None:
    image, labels = body(1)
    options = PredictionOptions(zoom="off")
    prompts = predictor().prompt([image], [labels], options=options).prompts
    others = predictor().prompt([image], [reordered(labels, ORDERS[11])], options=options).prompts
    assert np.array_equal(prompts.targets, others.targets)


def test_the_message_says_what_differs() -> None:
    image, labels = body(1)
    affine = labels.affine.copy()
    affine[1, 3] += 20
    with pytest.raises(GeometryError, match=r"another grid than its image: origin 80 x -50 x -9 and 80 x -70 x"):
        predictor().prompt([image], [LabelMap(labels.voxels, affine)])


def test_a_label_map_without_position_lies_on_the_grid_of_its_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, labels = body(1)
    bare = nibabel.Nifti1Image(np.asarray(labels.voxels), None)
    bare.header.set_zooms(labels.spacing)
    nibabel.save(bare, tmp_path / "labels.nii")
    with caplog.at_level(logging.WARNING, "mvg"):
        task = predictor().prompt([image], [tmp_path / "labels.nii"])
    assert "does not say where it lies" in caplog.text
    assert np.array_equal(task.prompts.targets, predictor().prompt([image], [labels]).prompts.targets)
    assert isinstance(mvg.read(tmp_path / "labels.nii"), Volume)
