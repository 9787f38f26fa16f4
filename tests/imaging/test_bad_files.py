"""Bad files give one line that names the file, what was expected and what to do; nothing is half-written."""

import gzip
import resource
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from mvg.errors import FileError, GeometryError, MvgError
from mvg.imaging import LabelMap, Volume, read, read_labels, write
from tests.imaging.grids import affine_of, labels_of, volume_of

SUFFIXES = [
    ".nii",
    ".nii.gz",
    ".mgh",
    ".mgz",
    ".mha",
    ".mhd",
    ".nrrd",
    ".nhdr",
    ".npz",
    ".h5",
    ".png",
    ".jpg",
    ".tif",
    ".bmp",
]


def example(suffix: str) -> Volume:
    """Noise that the format can hold and that does not become tiny by compression."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 30, 1 if suffix in (".png", ".jpg", ".tif", ".bmp") else 9))
    return Volume(noise, affine_of(np.diag([-1.0, -1.0, 1.0])))


def assert_refused(path: Path, error_class: type[MvgError] = FileError, match: str | None = None) -> None:
    for reader in (read, read_labels):
        with pytest.raises(error_class, match=match) as caught:
            reader(path)
        message = str(caught.value)
        assert path.name in message
        assert "\n" not in message
        assert len(message) < 600


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(suffix: str, fraction: float, tmp_path: Path) -> None:
    write(example(suffix), tmp_path / f"scan{suffix}")
    # Formats with two files: truncate the one that holds the voxels.
    largest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: int(fraction * len(content))])
    assert_refused(tmp_path / f"scan{suffix}")


def test_gzip_files_with_a_bad_checksum_or_damaged_data_are_refused(tmp_path: Path) -> None:
    write(example(".nii.gz"), tmp_path / "scan.nii.gz")
    content = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(content[:-3])
    assert_refused(tmp_path / "scan.nii.gz")
    (tmp_path / "scan.nii.gz").write_bytes(content[:5000] + bytes([content[5000] ^ 255]) + content[5001:])
    assert_refused(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".dcm"])
@pytest.mark.parametrize("content", [b"", b"not an image", bytes(1000), b"\x1f\x8b\x08\x00garbage"])
def test_empty_files_and_random_content_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"scan{suffix}").write_bytes(content)
    assert_refused(tmp_path / f"scan{suffix}", match=None if content else "empty")


def test_missing_files_unknown_suffixes_and_folders_without_images_are_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "no.nii.gz", match="check the path")
    for name, line in {
        "notes.txt": "no known suffix",
        "brain.hdr": r"convert the pair of .hdr and .img to one NIfTI file",
        "brain.IMG": r"convert the pair of .hdr and .img to one NIfTI file",
        "brain.mnc": "mnc2nii",
    }.items():
        (tmp_path / name).write_text("hello")
        assert_refused(tmp_path / name, match=line)
    assert_refused(tmp_path, match="no DICOM image")
    (tmp_path / "folder.nii.gz").mkdir()
    assert_refused(tmp_path / "folder.nii.gz", match="no DICOM image")


def raise_permission_error(*_: object, **__: object) -> None:
    """Replaces a file function, because the superuser is never refused by the system."""
    raise PermissionError(13, "Permission denied")


def test_files_without_read_permission_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(example(".nii"), tmp_path / "scan.nii")
    monkeypatch.setattr(Path, "read_bytes", raise_permission_error)
    assert_refused(tmp_path / "scan.nii", match="permission")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd", ".npz", ".h5", ".tif"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(suffix: str, value: float, tmp_path: Path) -> None:
    voxels = example(".tif").voxels.copy()
    voxels[3, 2, 0] = value
    write(Volume(voxels, np.eye(4)), tmp_path / f"scan{suffix}")
    with pytest.raises(FileError, match="1 values that are NaN or infinite"):
        read(tmp_path / f"scan{suffix}")
    with pytest.raises(FileError, match="whole numbers"):
        read_labels(tmp_path / f"scan{suffix}")


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", voxels=np.full((2, 2, 2), 1e300), affine=np.eye(4))
    with pytest.raises(FileError, match="NaN or infinite"):
        read(tmp_path / "scan.npz")


def write_four_axes(path: Path) -> None:
    array = np.zeros((3, 4, 5, 2), np.float32)
    if path.suffix == ".npz":
        np.savez(path, voxels=array, affine=np.eye(4))
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["voxels"], file["affine"] = array, np.eye(4)
    elif path.suffix == ".gz":
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(path))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "a.npz", "a.h5"])
def test_arrays_with_four_axes_are_refused(name: str, tmp_path: Path) -> None:
    write_four_axes(tmp_path / name)
    assert_refused(tmp_path / name, match="4D")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_color_volumes_are_refused_unless_they_are_gray(name: str, tmp_path: Path) -> None:
    color = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), dtype=np.uint8)
    gray = np.repeat(color[..., :1], 3, axis=-1)
    for array, accepted in ((color, False), (gray, True)):
        if name.endswith(".gz"):
            kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
            nibabel.Nifti1Image(array.view(kind)[..., 0], np.eye(4)).to_filename(tmp_path / name)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / name))
        if accepted:
            assert read(tmp_path / name).voxels.ndim == 3
        else:
            assert_refused(tmp_path / name, match="color")


def test_empty_arrays_and_arrays_with_one_axis_are_refused(tmp_path: Path) -> None:
    for shape in ((0, 4, 5), (7,), ()):
        np.savez(tmp_path / "a.npz", voxels=np.zeros(shape), affine=np.eye(4))
        assert_refused(tmp_path / "a.npz", match="two or three axes")
    nibabel.Nifti1Image(np.zeros((3, 0, 5), np.uint8), np.eye(4)).to_filename(tmp_path / "a.nii")
    assert_refused(tmp_path / "a.nii")


def test_npz_and_hdf5_files_without_voxels_or_affine_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 2, 2)))
    assert_refused(tmp_path / "a.npz", match="voxels and affine")
    np.savez(tmp_path / "b.npz", voxels=np.array([{}], object), affine=np.eye(4))
    assert_refused(tmp_path / "b.npz")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["voxels"] = np.zeros((2, 2, 2))
    assert_refused(tmp_path / "a.h5", match="voxels and affine")
    np.savez(tmp_path / "c.npz", voxels=np.zeros((2, 2, 2), complex), affine=np.eye(4))
    assert_refused(tmp_path / "c.npz", match="complex")


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan), np.zeros(0)])
def test_affines_that_are_not_invertible_are_refused(affine: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", voxels=np.zeros((2, 2, 2), np.uint8), affine=affine)
    assert_refused(tmp_path / "a.npz", GeometryError, "invertible")


def test_affines_with_text_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", voxels=np.zeros((2, 2, 2), np.uint8), affine=np.full((4, 4), "one"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["voxels"], file["affine"] = np.zeros((2, 2, 2), np.uint8), "one"
    for name in ("a.npz", "a.h5"):
        assert_refused(tmp_path / name, GeometryError, "invertible")


def test_a_nifti_affine_that_is_not_invertible_is_refused(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), None)
    image.header["sform_code"] = 1
    image.to_filename(tmp_path / "a.nii")
    assert_refused(tmp_path / "a.nii", GeometryError, "invertible")


def test_a_png_with_the_suffix_of_another_format_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    for suffix in (".nii.gz", ".mha", ".npz", ".h5", ".dcm"):
        (tmp_path / f"b{suffix}").write_bytes((tmp_path / "a.png").read_bytes())
        assert_refused(tmp_path / f"b{suffix}")


def test_nifti_with_a_wrong_gzip_suffix_is_read(tmp_path: Path) -> None:
    write(labels_of(np.eye(4)), tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").write_bytes((tmp_path / "a.nii").read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    for name in ("b.nii.gz", "c.nii"):
        np.testing.assert_array_equal(read_labels(tmp_path / name).voxels, labels_of(np.eye(4)).voxels)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limits files to `size` bytes, so that writing fails in the middle as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.6, 0.999])
def test_a_full_disk_leaves_the_old_file(suffix: str, fraction: float, tmp_path: Path) -> None:
    path = tmp_path / f"scan{suffix}"
    write(example(suffix), path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    larger = Volume(example(suffix).voxels.repeat(2, axis=0), np.eye(4))
    write(larger, tmp_path / f"whole{suffix}")
    size = max(file.stat().st_size for file in tmp_path.glob("whole*"))
    for file in tmp_path.glob("whole*"):
        file.unlink()
    with full_disk(int(fraction * size)), pytest.raises(FileError, match="space") as caught:
        write(larger, path)
    assert path.name in str(caught.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    volume = volume_of(np.eye(4))
    with pytest.raises(FileError, match="make the folder first"):
        write(volume, tmp_path / "no" / "a.nii.gz")
    with pytest.raises(FileError, match=r"\.nii\.gz"):
        write(volume, tmp_path / "a.doc")
    (tmp_path / "taken.nii.gz").mkdir()
    with pytest.raises(FileError, match="could not be written"):
        write(volume, tmp_path / "taken.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.nii.gz"]


def test_a_read_only_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", raise_permission_error)
    with pytest.raises(FileError, match=r"Permission denied.*writable folder"):
        write(volume_of(np.eye(4)), tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


def test_an_interruption_while_writing_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nibabel.Nifti1Image, "to_filename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(volume_of(np.eye(4)), tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [volume_of, labels_of])
def test_writing_replaces_the_file_and_leaves_no_other(make: Callable[..., Volume | LabelMap], tmp_path: Path) -> None:
    for suffix, names in ((".nii.gz", {"a.nii.gz"}), (".mhd", {"a.mhd", "a.zraw"}), (".nhdr", {"a.nhdr", "a.raw.gz"})):
        for _ in range(2):
            write(make(affine_of(np.eye(3))), tmp_path / f"a{suffix}")
        assert {path.name for path in tmp_path.iterdir()} == names
        for path in tmp_path.iterdir():
            path.unlink()


def test_nrrd_headers_with_absurd_vectors_are_refused_before_itk_crashes(tmp_path: Path) -> None:
    path = tmp_path / "scan.nrrd"
    write(Volume(np.zeros((4, 4, 4), np.float32), np.eye(4)), path)
    header, gap, data = path.read_bytes().partition(b"\n\n")
    long = b"(" + b",".join([b"-80.0"] * 300)
    lines = [b"space origin: " + long if line.startswith(b"space origin:") else line for line in header.splitlines()]
    path.write_bytes(b"\n".join(lines) + gap + data)
    with pytest.raises(FileError, match="a vector of 300 numbers"):
        read(path)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_absurd_numbers_in_a_geometry_are_refused_before_itk_hangs(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan{suffix}"
    write(Volume(np.zeros((4, 4, 4), np.float32), np.diag([7.25, 1, 1, 1])), path)
    content = path.read_bytes()
    assert b"7.25" in content
    path.write_bytes(content.replace(b"7.25", b"1e308"))
    with pytest.raises(FileError, match=r"the number -?1e308 in its header"):
        read(path)


def test_npz_entries_without_a_header_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "scan.npz", "w") as archive:
        archive.writestr("voxels.npy", b"text")
        archive.writestr("affine.npy", b"text")
    with pytest.raises(FileError, match="is no array"):
        read(tmp_path / "scan.npz")
