"""Pictures in PNG, JPEG, TIFF and BMP are read and written with their stored values."""

import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mvg.errors import FileError
from mvg.imaging import LabelMap, Volume, luminance, read, read_gray, read_labels, write
from tests.imaging.grids import affine_of, same, volume_of

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def write_png(path: Path, pixels: NDArray[np.generic], color_type: int, palette: bytes = b"") -> None:
    """Writes a PNG of any color type of the standard, because Pillow does not write all of them."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8 * pixels.itemsize, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = [
        chunk(b"IHDR", header),
        *([chunk(b"PLTE", palette)] if palette else []),
        chunk(b"IDAT", zlib.compress(rows)),
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))


def read_slice(path: Path) -> NDArray[np.float32]:
    return np.asarray(read(path).pictures("axial")[0])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp"])
def test_gray_pictures_are_read_and_written_as_stored(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a{suffix}")
    picture = read(tmp_path / f"a{suffix}")
    assert (picture.shape, picture.spacing, picture.plane) == ((4, 3, 1), (1, 1, 1), "axial")
    np.testing.assert_array_equal(picture.pictures("axial")[0], PIXELS)
    write(picture, tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / f"b{suffix}")), PIXELS)


def test_jpeg_values_are_kept_approximately(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    for name in ("a.jpg", "b.jpeg"):
        Image.fromarray(smooth).save(tmp_path / name, quality=95)
        write(read(tmp_path / name), tmp_path / f"again-{name}")
        np.testing.assert_allclose(read_slice(tmp_path / f"again-{name}"), smooth, atol=4)


def test_a_jpeg_label_map_is_refused(tmp_path: Path) -> None:
    Image.fromarray(255 * (PIXELS > 100).astype(np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(FileError, match="JPEG"):
        read_labels(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(suffix: str, tmp_path: Path) -> None:
    deep = PIXELS.astype(np.uint16) * 250
    Image.fromarray(deep).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_slice(tmp_path / f"a{suffix}"), deep)
    write(read(tmp_path / f"a{suffix}"), tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / f"b{suffix}")), deep)


def test_tiff_keeps_negative_and_fractional_values(tmp_path: Path) -> None:
    floats = Volume(np.array([-1024.5, 0.25, 3e5]).reshape(3, 1, 1), np.diag([-1.0, -1.0, 1.0, 1.0]))
    write(floats, tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").voxels, floats.voxels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "P", "I;16"])
def test_gray_images_in_any_mode_are_read_as_gray(mode: str, tmp_path: Path) -> None:
    gray = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
    image = Image.fromarray(np.array(gray, np.uint16)) if mode == "I;16" else gray.convert(mode)
    image.save(tmp_path / "a.png")
    picture = read_slice(tmp_path / "a.png")
    np.testing.assert_array_equal(picture > 0, [[False, True], [True, False]])


COLORS = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_color_images_have_three_channels_with_the_stored_values(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(COLORS).save(tmp_path / f"a{suffix}")
    picture = read(tmp_path / f"a{suffix}")
    assert (picture.channels, picture.shape, picture.plane) == (3, (5, 4, 1), "axial")
    np.testing.assert_array_equal(picture.pictures("axial")[0], COLORS.transpose(2, 0, 1))
    write(picture, tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / f"b{suffix}")), COLORS)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_jpeg_colors_are_kept_approximately(mode: str, tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:64, 64:128]
    smooth = np.stack([rows, columns, np.full_like(rows, 9)], axis=-1).astype(np.uint8)
    Image.fromarray(smooth).convert(mode).save(tmp_path / "a.jpg", quality=95)
    picture = read(tmp_path / "a.jpg")
    np.testing.assert_allclose(picture.pictures("axial")[0], smooth.transpose(2, 0, 1), atol=8)
    write(picture, tmp_path / "b.jpg")
    np.testing.assert_allclose(read(tmp_path / "b.jpg").voxels, picture.voxels, atol=8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_transparent_colors_are_refused(suffix: str, tmp_path: Path) -> None:
    alpha = np.full((4, 5, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([COLORS, alpha], axis=-1)).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pictures("axial")[0], COLORS.transpose(2, 0, 1))
    alpha[1, 2] = 254
    Image.fromarray(np.concatenate([COLORS, alpha], axis=-1)).save(tmp_path / f"a{suffix}")
    with pytest.raises(FileError, match="transparent"):
        read(tmp_path / f"a{suffix}")


def test_a_label_map_in_color_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLORS).save(tmp_path / "a.png")
    with pytest.raises(FileError, match=r"color image of 3 channels; expected one channel"):
        read_labels(tmp_path / "a.png")


def test_the_use_of_luminance_is_logged_once_per_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "gray.png")
    for name in ("a.png", "b.png"):
        Image.fromarray(COLORS).save(tmp_path / name)
    np.testing.assert_array_equal(read_gray(tmp_path / "gray.png").voxels, read(tmp_path / "gray.png").voxels)
    assert not caplog.records
    for name in ("a.png", "b.png", "a.png"):
        assert same(read_gray(tmp_path / name), luminance(read(tmp_path / name)))
    (record,) = caplog.records
    assert record.name == "mvg"
    assert record.getMessage() == f"pictures in '{tmp_path}' have colors (a.png); their luminance is used"


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd", ".npz", ".h5"])
def test_colors_are_written_in_picture_formats_only(suffix: str, tmp_path: Path) -> None:
    colors = Volume(COLORS.transpose(1, 0, 2)[:, :, None], np.diag([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(FileError, match="3 channels"):
        write(colors, tmp_path / f"a{suffix}")
    with pytest.raises(FileError, match="2 channels"):
        write(Volume(colors.voxels[..., :2], colors.affine), tmp_path / "a.png")
    with pytest.raises(FileError, match="0 to 255"):
        write(Volume(colors.voxels * 2, colors.affine), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colors_of_16_bits_are_refused(color_type: int, channels: int, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.repeat(PIXELS[..., None].astype(">u2"), channels, axis=2), color_type)
    for reader in (read, read_labels):
        with pytest.raises(FileError, match=r"a\.png' has several channels of 16 bits"):
            reader(tmp_path / "a.png")


def test_an_index_beyond_the_palette_is_refused_in_an_image(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.array([[0, 1], [5, 1]], np.uint8), 3, bytes([0, 0, 0, 9, 9, 9]))
    with pytest.raises(FileError, match=r"a\.png' holds the index 5 of a palette with 2 colors"):
        read(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").values == (1, 5)


def test_palettes_give_indices_in_label_maps_and_colors_in_images(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "labels.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png").pictures("axial")[0], [[0, 1], [2, 1]])
    picture = read(tmp_path / "labels.png").pictures("axial")[0]
    np.testing.assert_array_equal(picture, [[[0, 255], [0, 255]], [[0, 0], [255, 0]], np.zeros((2, 2))])


def test_a_tiff_with_several_pages_is_refused(tmp_path: Path) -> None:
    page = Image.fromarray(PIXELS)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with pytest.raises(FileError, match="2 pages"):
        read(tmp_path / "a.tif")


def test_computed_pictures_have_the_bit_depth_of_their_query(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "query.png")
    query = read(tmp_path / "query.png")
    write(query.from_pictures(query.pictures("axial") * 1.2 - 3.4, "axial"), tmp_path / "result.png")
    result = np.array(Image.open(tmp_path / "result.png"))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.clip(np.rint(PIXELS * np.float32(1.2) - np.float32(3.4)), 0, 255))


@pytest.mark.parametrize(
    ("values", "name", "valid_range"),
    [([-500.0, 3.0], "a.png", "0 to 65535"), ([0.0, 300.0], "a.jpg", "0 to 255"), ([0.0, 1e6], "a.png", "0 to 65535")],
)
def test_values_that_do_not_fit_are_refused(values: list[float], name: str, valid_range: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=valid_range):
        write(Volume(np.array(values).reshape(2, 1, 1), np.eye(4)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_labels_in_jpeg_and_volumes_in_png_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="without loss"):
        write(LabelMap(PIXELS[:, :, None], np.eye(4)), tmp_path / "a.jpg")
    with pytest.raises(FileError, match="one slice"):
        write(volume_of(affine_of(np.eye(3))), tmp_path / "a.png")


def test_a_volume_of_one_slice_is_written_as_displayed(tmp_path: Path) -> None:
    volume = Volume(PIXELS[None].astype(np.float32), affine_of(np.eye(3)))
    write(volume, tmp_path / "a.png")
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), volume.pictures("sagittal")[0])


@pytest.mark.parametrize("turn", range(1, 9))
def test_photographs_are_read_as_viewers_show_them(turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(PIXELS).save(tmp_path / "photo.png", exif=exif)
    expected = {
        1: PIXELS, 2: PIXELS[:, ::-1], 3: PIXELS[::-1, ::-1], 4: PIXELS[::-1], 5: PIXELS.T,
        6: PIXELS[::-1].T, 7: PIXELS[::-1, ::-1].T, 8: PIXELS.T[::-1],
    }[turn]  # fmt: skip
    assert np.array_equal(read_slice(tmp_path / "photo.png"), expected)
    write(read(tmp_path / "photo.png"), tmp_path / "again.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), expected)


def test_more_pixels_than_a_file_can_hold_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((24, 24), np.uint8))
    picture.save(tmp_path / "film.tif", tiffinfo={})
    content = bytearray((tmp_path / "film.tif").read_bytes())
    at = content.index(bytes([1, 1, 4, 0, 1, 0, 0, 0])) if bytes([1, 1, 4, 0, 1, 0, 0, 0]) in content else -1
    at = at if at >= 0 else content.index(bytes([1, 1, 3, 0, 1, 0, 0, 0]))  # the entry of the height
    content[at + 2 : at + 12] = bytes([4, 0, 1, 0, 0, 0]) + (4_000_000).to_bytes(4, "little")
    (tmp_path / "film.tif").write_bytes(content)
    with pytest.raises(FileError, match="claims 24 x 4000000 pixels, more than its"):
        read(tmp_path / "film.tif")


@given(st.integers(0, 255), st.integers(0, 254), st.sampled_from(["RGBA", "LA"]))
def test_a_shape_in_the_transparency_alone_is_refused(gray: int, alpha: int, mode: str) -> None:
    """As masks that were drawn on a transparent layer."""
    picture = Image.new(mode, (8, 6), (*[gray] * (len(mode) - 1), 255))
    picture.putpixel((2, 3), (*[gray] * (len(mode) - 1), alpha))
    with TemporaryDirectory() as folder:
        picture.save(Path(folder) / "mask.png")
        with pytest.raises(FileError, match="its shape is in the transparency"):
            read_labels(Path(folder) / "mask.png")
