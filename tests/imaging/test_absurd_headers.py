"""Headers that name more than a file holds, or that a library cannot take: refused in a line, at no cost."""

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvg.errors import FileError
from mvg.imaging import Volume, read, write

LONG = 1500
NAMES = ("space directions", "kinds", "sizes", "space origin", "centers", "encoding", "no field")


def nrrd(folder: Path, line: str) -> Path:
    """A small file with one more line in its header, behind the first one."""
    path = folder / "image.nrrd"
    write(Volume(np.arange(8.0).reshape(2, 2, 2), np.eye(4)), path)
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(b"\n".join([first, line.encode(), rest]))
    return path


@given(st.sampled_from(NAMES), st.sampled_from(["x", "1 ", "(1,0,0) ", '"mm" ', "(1,"]), st.integers(901, 20_000))
def test_long_fields_of_nrrd_are_refused(name: str, part: str, length: int) -> None:
    """ITK writes beyond its memory where it refuses them: it ends the process."""
    with TemporaryDirectory() as folder, pytest.raises(FileError, match=r"a (field|vector) of \d+ .* in its header"):
        read(nrrd(Path(folder), f"{name}: {part * length}"[: len(name) + 2 + length]))


def test_long_fields_behind_long_comments_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a field of"):
        read(nrrd(tmp_path, "\n".join(["#" + "c" * LONG] * 60 + ["kinds: " + "x" * LONG])))


@pytest.mark.parametrize("line", ["# {}", "content: {}", "Segment0_Tags:={}"])
def test_comments_descriptions_and_pairs_have_any_length(line: str, tmp_path: Path) -> None:
    assert read(nrrd(tmp_path, line.format("x" * LONG))).shape == (2, 2, 2)


@given(st.lists(st.integers(1, 2000), min_size=3, max_size=3), st.sampled_from([1, 2]))
def test_nifti_that_names_more_voxels_than_it_holds(shape: list[int], version: int) -> None:
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(np.ones((2, 2, 2), np.float32), np.eye(4))
    content = image.to_bytes()
    image.header.set_data_shape(shape)
    header = image.header.binaryblock
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        path.write_bytes(header + content[len(header) :])
        if np.prod(shape) <= 8:
            assert read(path).shape == tuple(shape)
            return
        tracemalloc.start()
        with pytest.raises(FileError, match=r"it has \d+ bytes, and its header names \d+"):
            read(path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 1 << 20
