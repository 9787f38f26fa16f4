"""What is checked before a file is opened: where it lies, how large it becomes, and what else it would open."""

import gzip
import zlib
from pathlib import Path
from typing import Any

from mvg.errors import FileError
from mvg.imaging.files import suffix_of

MOST_VOXELS = 600_000_000
MOST_BYTES = 8 * 2**30  # of a study's file, expanded
_HEADER = 352
_DETACHED = {b"elementdatafile": (b"LIST",), b"data file": (), b"datafile": ()}
_MOST_HEADER = 2**20
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_DEFLATED = "1.2.840.10008.1.2.1.99"


def inside(path: Path, root: Path) -> Path:
    """The path without links; FileError where it lies outside of `root` or is gone."""
    try:
        resolved = path.resolve(strict=True)
    except OSError as error:
        raise FileError(f"'{path.name}' is gone", "the study's file", "put it back or rescan the folder") from error
    if not resolved.is_relative_to(root):
        raise FileError(
            f"'{path.name}' leads out of the served folder", "files inside of it", "copy it into the folder"
        )
    return resolved


def check_file(path: Path, root: Path) -> Path:
    """The resolved path of a study or label file that is safe to read.

    Raises FileError for a file outside of `root`, one whose header names another file outside of its folder, and one
    that would expand beyond the limits.
    """
    resolved = inside(path, root)
    if resolved.is_dir():
        for file in sorted(resolved.iterdir()):
            if file.is_file() or file.is_symlink():
                inside(file, root)
                _check_dicom(file)
        return resolved
    if resolved.stat().st_size > MOST_BYTES:
        raise _too_large(path, f"{resolved.stat().st_size / 2**30:.1f} GiB")
    suffix = suffix_of(resolved)
    if suffix in (".nii", ".nii.gz"):
        _check_nifti(resolved)
    elif suffix in (".mha", ".mhd", ".nrrd", ".nhdr"):
        _check_detached(resolved, root)
        _check_itk(resolved)
    elif suffix in (".npz", ".zip"):
        _check_archive(resolved)
    elif suffix in (".h5", ".hdf5"):
        _check_hdf5(resolved)
    elif suffix in _PICTURES:
        _check_picture(resolved)
    elif suffix in (".dcm", ".dicom", ".ima", ""):
        _check_dicom(resolved)
    return resolved


def _check_nifti(path: Path) -> None:
    """Compares the size that the header announces with what the file expands to."""
    import nibabel
    import numpy as np

    with path.open("rb") as file:
        start = file.read(2)
    opener: Any = gzip.open if start == b"\x1f\x8b" else open
    try:
        with opener(path, "rb") as stream:
            content = stream.read(540)
        kind: Any = nibabel.Nifti2Header if int.from_bytes(content[:4], "little") == 540 else nibabel.Nifti1Header
        header = kind(content[: kind.template_dtype.itemsize], check=False)
        voxels = int(np.prod([max(1, int(length)) for length in header.get_data_shape()], dtype=object))
        expected = voxels * header.get_data_dtype().itemsize + int(header["vox_offset"]) + 2**20
    except Exception:  # nibabel has errors of many kinds; reading the file says what is wrong
        return
    _check_voxels(voxels, path)
    if start == b"\x1f\x8b":
        _check_expanded(path, expected)


def _check_expanded(path: Path, expected: int) -> None:
    """Raises FileError where a gzip file expands beyond what its header announces."""
    if path.stat().st_size * 1100 <= expected:  # it cannot: deflate shrinks at most 1032 times
        return
    total, decoder = 0, zlib.decompressobj(31)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            try:
                while chunk:
                    total += len(decoder.decompress(chunk, 2**22))
                    chunk = decoder.unconsumed_tail
                    if total > expected:
                        raise _too_large(path, "more voxels than its header announces")
            except zlib.error:
                return


def _check_detached(path: Path, root: Path) -> None:
    """Refuses headers that name a file in another folder: it might be any file of this machine."""
    lines = _header_lines(path)
    for number, line in enumerate(lines):
        name, separator, value = line.replace(b"=", b":", 1).partition(b":")
        allowed = _DETACHED.get(name.strip().lower())
        value = value.strip(b" =\t\r")
        if not separator or allowed is None or value == b"LOCAL":
            continue
        listed = [line.strip() for line in lines[number + 1 :] if line.strip()]
        for name in listed if value in allowed else [value]:
            _check_named(path, Path(name.decode("utf-8", "replace")), root)


def _header_lines(path: Path) -> list[bytes]:
    """The lines of a header, and what follows it. FileError where it, or a list in it, does not end soon enough."""
    with path.open("rb") as file:
        content = file.read(_MOST_HEADER)
        whole = not file.read(1)
    if not whole and not _ends(content.split(b"\n"), path):
        raise FileError(
            f"'{path.name}' has a header of more than {_MOST_HEADER // 2**20} MiB", "a shorter one",
            "leave its comments out",
        )  # fmt: skip
    return content.splitlines()


def _ends(lines: list[bytes], path: Path) -> bool:
    """Whether a header ends in these lines as its format's reader has it: NRRD's by an empty line, else by the voxels'
    file. A list goes on to the end of the file.
    """
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        return any(line in (b"", b"\r") for line in lines)
    fields = (line.replace(b"=", b":", 1).partition(b":") for line in lines)
    data = next((value for name, _, value in fields if name.strip() == b"ElementDataFile"), None)
    return data is not None and data.strip(b" =\t\r") not in _DETACHED[b"elementdatafile"]


def _check_named(path: Path, data: Path, root: Path) -> None:
    """Raises FileError for a file of voxels that is not of the header's folder, or is no such file."""
    line = f"'{path.name}' takes its voxels from '{data}'"
    if len(data.parts) != 1 or not inside(path.parent / data, root).is_file():
        raise FileError(line, "voxels in the same folder", "store it as one file")
    if data.suffix.lower() not in (".raw", ".zraw", ".gz", ".bz2", ".hex", ".txt"):
        raise FileError(line, "a .raw file", "store it as one file")


def _check_itk(path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in (".nrrd", ".nhdr") else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return  # reading it says what is wrong
    voxels = reader.GetNumberOfComponents()
    for length in reader.GetSize():
        voxels *= length
    _check_voxels(voxels, path)


def _check_picture(path: Path) -> None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = picture.width * picture.height
    except Exception:  # Pillow has errors of many kinds; reading the file says what is wrong
        return
    _check_voxels(pixels, path)


def _check_archive(path: Path) -> None:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        return
    if size > 4 * MOST_VOXELS:
        raise _too_large(path, f"{size / 2**20:.1f} MiB")


def _check_hdf5(path: Path) -> None:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            for name in ("voxels", "affine"):
                link = file.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
                    raise FileError(
                        f"'{path.name}' links to another file", "voxels in the file itself", "store them there"
                    )
                entry = file.get(name)
                if entry is not None and getattr(entry, "external", None):
                    raise FileError(
                        f"'{path.name}' takes its voxels from another file", "voxels in the file itself", "store them"
                    )
                if entry is not None:
                    _check_voxels(int(getattr(entry, "size", 0)), path)
    except OSError:
        return


def _check_dicom(path: Path) -> None:
    """Refuses deflated files, which expand without a limit while their header is read, and too many pixels."""
    import pydicom

    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return
            meta = pydicom.filereader.read_file_meta_info(path)
        if str(meta.get("TransferSyntaxUID", "")) == _DEFLATED:
            raise FileError(f"'{path.name}' is a deflated DICOM file", "another transfer syntax", "convert it")
        tags = ["Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"]
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except (OSError, EOFError, ValueError, AttributeError, pydicom.errors.InvalidDicomError):
        return
    voxels = 1
    for tag in tags:
        voxels *= int(header.get(tag) or 1)
    _check_voxels(voxels, path)


def _check_voxels(voxels: int, path: Path) -> None:
    if voxels > MOST_VOXELS:
        raise _too_large(path, f"{voxels / 1e6:.0f} million voxels")


def _too_large(path: Path, size: str) -> FileError:
    return FileError(
        f"'{path.name}' expands to {size}", f"at most {MOST_VOXELS / 1e6:.0f} million voxels, as its header says",
        "crop or resample it",
    )  # fmt: skip
