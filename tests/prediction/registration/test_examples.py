"""Examples decide how freely images are deformed."""

from pathlib import Path

import numpy as np
import pytest

from mvg.errors import GeometryError, PromptError
from mvg.imaging.displacement import write_field
from mvg.imaging.files import write
from mvg.imaging.volume import Volume
from mvg.prediction.registration.examples import RegistrationExample, read_examples, transform_of
from mvg.prediction.registration.register import RegistrationOptions
from tests.prediction.registration.scenes import affine_field, body, smooth_field

SHAPE = (40, 36, 8)


def shifted(seed: int) -> RegistrationExample:
    """An example whose field is a shift, although the fixed image is deformed beyond it."""
    moving, _ = body(SHAPE, seed)
    matrix = np.eye(4)
    matrix[0, 3] = 6
    field = affine_field(moving, matrix)
    fixed = smooth_field(moving, 3.0).warp(field.warp(moving))
    return RegistrationExample(moving, fixed, field)


def deformed(seed: int, as_field: bool) -> RegistrationExample:
    """An example of a deformation, as a field or as the warped image."""
    moving, _ = body(SHAPE, seed)
    field = smooth_field(moving, 7.0)
    fixed = field.warp(moving)
    return RegistrationExample(moving, fixed, field if as_field else fixed)


def test_examples_of_a_shift_ask_for_an_affine_map() -> None:
    assert transform_of([shifted(0)], RegistrationOptions()) == "affine"


@pytest.mark.parametrize("as_field", [True, False])
def test_examples_of_a_deformation_ask_for_one(as_field: bool) -> None:
    assert transform_of([deformed(0, as_field)], RegistrationOptions()) != "affine"


def test_they_are_read_from_a_folder(tmp_path: Path) -> None:
    example = deformed(0, as_field=True)
    for name in ("moving", "fixed", "targets"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        write(example.moving, tmp_path / "moving" / f"{stem}.nii.gz")
        write(example.fixed, tmp_path / "fixed" / f"{stem}.nii.gz")
    write_field(example.target, tmp_path / "targets" / "a.nii.gz")
    write(example.fixed, tmp_path / "targets" / "b.nii.gz")
    field, image = read_examples(tmp_path)
    assert np.allclose(field.target.vectors, example.target.vectors)
    assert isinstance(image.target, Volume)
    (tmp_path / "targets" / "b.nii.gz").unlink()
    with pytest.raises(PromptError, match=r"no 'b' in '.*targets'"):
        read_examples(tmp_path)


def test_a_folder_without_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="expected moving/, fixed/ and targets/"):
        read_examples(tmp_path)


def test_a_warped_image_on_another_grid_is_refused() -> None:
    moving, _ = body(SHAPE)
    with pytest.raises(GeometryError, match="expected the grid of the fixed image"):
        RegistrationExample(moving, moving, body((30, 36, 8))[0])
