"""Where headers say that voxels lie: in the file, and in the patient."""

from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvg.imaging import Volume, read, write
from mvg.imaging.grid_difference import is_placed


@settings(deadline=None)
@given(st.integers(0, 347), st.sampled_from([1, 2]), st.sampled_from(["<", ">"]))
def test_nifti_whose_voxels_would_lie_in_the_header_have_them_behind_it(offset: int, version: int, order: str) -> None:
    """ "vox_offset" 0 is what some programs write for the usual place."""
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(voxels, np.eye(4), kind.header_class(endianness=order))
    image.header.set_data_dtype(np.int16)
    content = bytearray(image.to_bytes())
    field, at = (np.dtype(f"{order}f4"), 108) if version == 1 else (np.dtype(f"{order}i8"), 168)
    content[at : at + field.itemsize] = np.array(offset, field).tobytes()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.nii"
        path.write_bytes(content)
        assert np.array_equal(read(path).voxels, voxels)


_NRRD = """NRRD0004
type: short
dimension: {dimension}
{space}sizes: 3 4 5{one}
encoding: raw
endian: little

"""


@pytest.mark.parametrize(("space", "signs"), [
    ("left-posterior-superior", (-1, -1, 1)), ("RAS", (1, 1, 1)), ("left-anterior-superior-time", (-1, 1, 1)),
    ("right-anterior-superior-time", (1, 1, 1)), ("RAST", (1, 1, 1)), ("LPST", (-1, -1, 1)),
])  # fmt: skip
def test_nrrd_in_every_anatomical_space(space: str, signs: tuple[int, ...], tmp_path: Path) -> None:
    is_4d = space.endswith(("time", "T"))
    rest = ",0" if is_4d else ""
    directions = " ".join(f"({one}{rest})" for one in ("2,0,0", "0,3,0", "0,0,4")) + (" (0,0,0,1)" if is_4d else "")
    lines = f"space: {space}\nspace directions: {directions}\nspace origin: (7,8,9{rest})\n"
    header = _NRRD.format(dimension=4 if is_4d else 3, space=lines, one=" 1" if is_4d else "")
    voxels = np.arange(60, dtype="<i2")
    (tmp_path / "image.nrrd").write_bytes(header.encode() + voxels.tobytes())
    image = read(tmp_path / "image.nrrd")
    expected = np.array([[2, 0, 0, 7], [0, 3, 0, 8], [0, 0, 4, 9], [0, 0, 0, 1.0]])
    expected[:3] *= np.array(signs)[:, None]
    assert np.array_equal(image.affine, expected)
    assert is_placed(image)
    assert np.array_equal(image.voxels, voxels.reshape(5, 4, 3).T)


def test_headers_without_a_position_in_the_patient(tmp_path: Path) -> None:
    voxels = np.arange(60, dtype="<i2").tobytes()
    headers = {
        "spacings.nrrd": _NRRD.format(dimension=3, space="spacings: 2 2 2\n", one=""),
        "scanner.nrrd": _NRRD.format(
            dimension=3, one="",
            space="space: scanner-xyz\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n",
        ),
        "sizes.mha": "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        "DimSize = 3 4 5\nElementSpacing = 2 2 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
    }  # fmt: skip
    for name, header in headers.items():
        (tmp_path / name).write_bytes(header.encode() + voxels)
        assert not is_placed(read(tmp_path / name)), name
    for suffix in (".mha", ".nrrd", ".nii"):
        write(Volume(np.ones((3, 4, 5)), np.eye(4)), tmp_path / f"ours{suffix}")
        assert is_placed(read(tmp_path / f"ours{suffix}"))
    image = read(tmp_path / "sizes.mha")
    write(image, tmp_path / "again.mha")
    assert np.array_equal(read(tmp_path / "again.mha").affine, image.affine)
