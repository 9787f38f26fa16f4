"""Pictures: PNG, JPEG, TIFF and BMP, as volumes of one axial slice with pixels of 1 mm."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import FileError
from mvg.imaging.formats import LOSSY, Stored
from mvg.imaging.volume import Header, LabelMap, Volume

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

HOLDS_COLORS = True

_NAMES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
_ONLY_BYTES = (".jpg", ".jpeg", ".bmp")
_EXIF_ORIENTATION = 0x0112
_MOST_COMPRESSED = 2000  # pixels per byte; deflate reaches 1032
_OVERSHOOT = 0.1  # how far beyond the range of its source a computed picture may reach and still be clipped


def load(path: Path) -> Stored:
    """Columns become the first axis and rows the second, so that `pictures("axial")[0]` is the picture as viewers show
    it, turned as EXIF says.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        pages = getattr(opened, "n_frames", 1)
        if pages > 1:
            raise FileError(f"'{path}' has {pages} pages", "a picture of one page", "store each page alone")
        if ";16" in str(opened.tile) and not opened.mode.startswith("I"):  # Pillow would keep half of the bits
            raise FileError(f"'{path}' has several channels of 16 bits", "one, or channels of 8", "convert it to gray")
        _check_size(opened, path)
        opened.load()
        turned = opened.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)
        image: Image.Image = ImageOps.exif_transpose(opened)  # as viewers show it
        palette = None
        if image.mode == "P":
            palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "PA"):
            image = image.convert("RGB")
        pixels = np.array(image)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    depth = 8 if pixels.dtype == np.uint8 else 16 if pixels.dtype.kind in "ui" else 0
    voxels = pixels.swapaxes(0, 1)[:, :, None]
    if pixels.ndim == 3:
        voxels = _without_alpha(voxels, path)
    content = bytes([depth, turned]) + (b"" if palette is None else palette.tobytes())
    return Stored(voxels, affine, Header("picture", content, affine.tobytes()), "color", palette)


def palette_of(header: Header | None) -> NDArray[np.uint8] | None:
    """The colors (n, 3) of the indices of a picture with a palette; None for other images."""
    if header is None or header.kind != "picture" or len(header.content) < 3:
        return None
    return np.frombuffer(header.content[2:], np.uint8).reshape(-1, 3)


def was_turned(header: Header | None) -> bool:
    """Whether a picture was turned or mirrored when it was read, because its EXIF orientation says so."""
    return header is not None and header.kind == "picture" and header.content[1:2] == b"\x01"


def _check_size(picture: Any, path: Path) -> None:
    """Raises FileError for more pixels than the bytes of the file can stand for, before memory is taken for them."""
    width, height = picture.size
    share = 1 if picture.info.get("compression") == "raw" else _MOST_COMPRESSED
    most = share * path.stat().st_size * (8 if picture.mode == "1" else 1)
    if width * height > most:
        raise FileError(
            f"'{path}' claims {width} x {height} pixels, more than its {path.stat().st_size} bytes can hold",
            "a complete, undamaged picture",
            "copy, download or convert it again",
        )


def _without_alpha(voxels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Removes the alpha channel of voxels (X, Y, Z, C); FileError when a pixel of a color picture is transparent, or
    where only transparency differs.
    """
    if voxels.shape[-1] == 3:
        return voxels
    colors, alpha = voxels[..., :-1], voxels[..., -1:]
    if alpha.min() < alpha.max() and (colors == colors[:1, :1]).all():
        raise FileError(
            f"'{path}' has one color, and its shape is in the transparency", "gray values", "export it without alpha"
        )
    if voxels.shape[-1] == 2:
        return colors
    if (colors != colors[..., :1]).any() and (alpha < 255).any():
        raise FileError(
            f"'{path}' is a color image with transparent pixels", "opaque pixels", "export it without alpha"
        )
    return colors


def save(volume: Volume | LabelMap, path: Path) -> None:
    """Writes colors in 8 bits per channel, and gray in 8 or 16 bits, like the source or as the values need.

    TIFF holds any float32 value in gray.
    """
    from PIL import Image

    if 1 not in volume.shape:
        raise FileError(
            f"'{path}' is to hold a volume of shape {volume.shape}", "one slice", "write volumes as .nii.gz"
        )
    pixels = _pixels(volume)
    suffix = path.suffix.lower()
    if isinstance(volume, LabelMap):
        if suffix in LOSSY:
            raise FileError(f"labels for '{path}'", "a format without loss", "write labels as .png")
        stored: NDArray[Any] = _unsigned(pixels, suffix, path)
    elif volume.channels > 1:
        stored = _unsigned(_in_range(pixels, volume.header), ".bmp", path)
    elif suffix in (".tif", ".tiff"):
        stored = _exact(pixels)
    else:
        stored = _unsigned(_in_range(pixels, volume.header), suffix, path)
    content = BytesIO()
    Image.fromarray(stored).save(content, format=_NAMES[suffix], **({"quality": 95} if suffix in LOSSY else {}))
    path.write_bytes(content.getvalue())  # Pillow's own writing passes over a full disk


def _pixels(volume: Volume | LabelMap) -> NDArray[Any]:
    """The one slice (rows, cols), or (rows, cols, 3) in color; FileError for another number of channels."""
    pixels = volume.pictures(volume.plane)[0]
    if pixels.ndim == 3:
        if len(pixels) != 3:
            raise FileError(f"a picture of {len(pixels)} channels", "one, or red, green and blue", "choose one channel")
        pixels = np.moveaxis(pixels, 0, -1)
    return np.ascontiguousarray(pixels)


def _in_range(pixels: NDArray[Any], header: Header | None) -> NDArray[Any]:
    """Rounds to whole numbers and clips values slightly outside of the range of the source."""
    whole = np.rint(pixels)
    if header is not None and header.kind == "picture" and header.content[0] in (8, 16):
        full = 2 ** header.content[0] - 1
        if -_OVERSHOOT * full <= whole.min() and whole.max() <= (1 + _OVERSHOOT) * full:
            return np.asarray(np.clip(whole, 0, full))
    return np.asarray(whole)


def _exact(pixels: NDArray[Any]) -> NDArray[Any]:
    for kind in (np.uint8, np.uint16):
        if pixels.min() >= 0 and pixels.max() <= np.iinfo(kind).max and np.array_equal(pixels, np.rint(pixels)):
            return pixels.astype(kind)
    return pixels


def _unsigned(pixels: NDArray[Any], suffix: str, path: Path) -> NDArray[Any]:
    bits = 8 if pixels.max() <= 255 else 16
    largest = 255 if suffix in _ONLY_BYTES else 65535
    if pixels.min() < 0 or pixels.max() > largest:
        raise FileError(
            f"values from {pixels.min()} to {pixels.max()} for '{path}'",
            f"0 to {largest}",
            "write .tif or .nii.gz instead",
        )
    return pixels.astype(np.uint8 if bits == 8 else np.uint16)
