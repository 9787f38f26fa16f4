"""Raw data: k-space and views, simulated, written, read and agreed with."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mvg._plugins import contributions
from mvg.errors import FileError, PromptError
from mvg.imaging.volume import Volume
from mvg.tasks import operators
from mvg.tasks.measurement import Measurement, as_volume, axial_grid, read_measurement
from mvg.tasks.operators.kspace import KSpace, drawn_mask
from mvg.tasks.operators.views import Views
from tests.tasks.test_restoration import phantom

LEVELS = {"kspace": 4.0, "views": 40.0}


def clean(operator: str, slices: int = 2) -> Volume:
    """The phantom, in HU for views."""
    pictures = phantom(64, slices)
    voxels = np.moveaxis(pictures * 1600 - 1000 if operator == "views" else pictures * 300, 0, -1).swapaxes(0, 1)
    return Volume(voxels.copy(), axial_grid((slices, 64, 64), (4.0, 1.5, 1.5)).affine)


def measured(operator: str, level: float | None = None) -> Measurement:
    kind: type[Any] = contributions(operators)[operator].MEASUREMENT
    result: Measurement = kind.simulate(clean(operator), level or LEVELS[operator], np.random.default_rng(0))
    return result


def error(one: np.ndarray, operator: str) -> float:
    truth = clean(operator)
    return float(np.abs(one - truth.pictures(truth.plane)).mean())


@pytest.mark.parametrize("operator", sorted(contributions(operators)))
class TestEveryOperator:
    def test_it_is_a_measurement(self, operator: str) -> None:
        assert isinstance(measured(operator), Measurement)

    def test_the_truth_agrees_and_other_pictures_come_closer(self, operator: str) -> None:
        measurement, truth = measured(operator), clean(operator)
        pictures = np.asarray(truth.pictures(truth.plane), np.float32)
        initial = measurement.initial()
        assert error(measurement.consistent(pictures), operator) < 0.3 * error(initial, operator)
        halfway = (pictures + initial) / 2
        assert error(measurement.consistent(halfway), operator) < error(halfway, operator)

    def test_more_data_give_a_better_picture(self, operator: str) -> None:
        more = 2.0 if operator == "kspace" else 120.0
        assert error(measured(operator, more).initial(), operator) < error(measured(operator).initial(), operator)

    def test_it_is_written_and_read(self, operator: str, tmp_path: Path) -> None:
        measurement = measured(operator)
        with h5py.File(tmp_path / "raw.h5", "w") as file:
            measurement.write(file)
        again = read_measurement(tmp_path / "raw.h5")
        assert np.allclose(again.initial(), measurement.initial(), atol=0.5)
        assert as_volume(again, again.initial()).shape == clean(operator).shape

    def test_a_part_of_the_slices_has_their_pictures(self, operator: str) -> None:
        measurement, truth = measured(operator), clean(operator)
        one = measurement.subset([1], Volume(truth.voxels[:, :, 1:], truth.affine))
        assert np.allclose(one.initial(), measurement.initial()[1:], atol=1e-2)

    def test_another_volume_is_measured_alike(self, operator: str) -> None:
        other = measured(operator).alike(clean(operator, slices=1), np.random.default_rng(1))
        assert other.initial().shape == (1, 64, 64)
        assert error(other.initial(), operator) == pytest.approx(error(measured(operator).initial(), operator), rel=0.3)


def test_masks_sample_one_line_in_the_factor_and_the_middle() -> None:
    mask = drawn_mask(320, 4.0, np.random.default_rng(0))
    assert mask.sum() == 80
    assert mask[160 - 12 : 160 + 12].all()


def test_consistency_replaces_sampled_lines_alone() -> None:
    measurement = measured("kspace")
    assert isinstance(measurement, KSpace)
    blank = np.zeros((2, 64, 64), np.float32)
    assert np.allclose(measurement.consistent(blank).sum(), measurement.initial().sum(), rtol=0.2)


def fast_mri(path: Path, **changes: Any) -> Path:
    """A file of two coils in fastMRI's layout: k-space of 64 x 80, of which the middle 64 x 64 is the picture."""
    picture = np.pad(phantom(64, 2) * 1e-4, ((0, 0), (0, 0), (8, 8)))
    y, x = np.mgrid[:64, :80] / 80
    coils = np.stack([picture * np.exp(2j * y), 0.5 * picture * np.exp(-1j * x)], axis=1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(coils, (-2, -1)), norm="ortho"), (-2, -1))
    mask = drawn_mask(80, 4.0, np.random.default_rng(0))
    sizes = (
        b"<matrixSize><x>64</x><y>64</y><z>1</z></matrixSize>"
        b"<fieldOfView_mm><x>160</x><y>128</y><z>5</z></fieldOfView_mm>"
    )
    data = {"kspace": (kspace * mask).astype(np.complex64), "mask": mask.astype(np.float32),
            "ismrmrd_header": b"<reconSpace>" + sizes + b"</reconSpace>"} | changes  # fmt: skip
    with h5py.File(path, "w") as file:
        for name, value in data.items():
            if value is not None:
                file[name] = value
    return path


def test_files_in_the_layout_of_fast_mri_are_read(tmp_path: Path) -> None:
    measurement = read_measurement(fast_mri(tmp_path / "file.h5"))
    volume = as_volume(measurement, measurement.initial())
    assert volume.shape == (64, 64, 2)
    assert volume.spacing == pytest.approx((2.0, 2.5, 5.0))
    truth = phantom(64, 2) * 1e-4 * np.sqrt(1.25)  # root of the sum of both coils' squares
    agreed = measurement.consistent(truth.astype(np.float32))
    assert np.abs(agreed - truth).mean() < 0.3 * np.abs(measurement.initial() - truth).mean()


def test_without_a_mask_the_lines_that_are_not_0_count_as_sampled(tmp_path: Path) -> None:
    measurement = read_measurement(fast_mri(tmp_path / "file.h5", mask=None))
    assert isinstance(measurement, KSpace)
    assert np.array_equal(measurement.mask, drawn_mask(80, 4.0, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask": np.ones(64)}, "'mask' of shape (64,) beside 'kspace' with 80 columns"),
        ({"mask": np.zeros(80)}, "without any sampled line"),
        ({"kspace": np.ones((2, 64, 80))}, "of the type float64"),
        ({"kspace": np.full((2, 64, 80), np.nan, np.complex64)}, "has NaN or infinite values"),
        ({"ismrmrd_header": b"<reconSpace><x>64</x></reconSpace>"}, "cannot be read"),
        ({"kspace": None}, "holds ismrmrd_header, mask"),
    ],
)
def test_raw_data_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(FileError) as caught:
        read_measurement(fast_mri(tmp_path / "file.h5", **changes))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("sinogram", "angles", "text"),
    [((1, 5, 93), 4, "beside 4 'angles'"), ((1, 5, 12), 5, "12 detectors"), ((5, 93), 5, "(5, 93)")],
)
def test_sinograms_that_do_not_fit_are_refused(
    tmp_path: Path, sinogram: tuple[int, ...], angles: int, text: str
) -> None:
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["sinogram"], file["angles"], file.attrs["side"] = np.ones(sinogram), np.arange(angles), 64
    with pytest.raises(FileError) as caught:
        read_measurement(tmp_path / "raw.h5")
    assert text in str(caught.value)


def test_what_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(FileError, match="cannot be read"):
        read_measurement(tmp_path / "raw.h5")
    with pytest.raises(FileError, match="cannot be read"):
        read_measurement(tmp_path / "missing.h5")


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(PromptError, match="not HU"):
        Views.check(clean("kspace"), 60.0)
    with pytest.raises(PromptError, match="two views"):
        Views.check(clean("views"), 1.0)
    with pytest.raises(PromptError, match="at least 10 lines"):
        KSpace.check(clean("kspace"), 8.0)
