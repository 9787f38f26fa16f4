"""Slices on their way between page and server: runs or compressed pixels, class numbers in RAS order.

Pixels of a slice are listed with the lower of its two axes fastest. 255 stands for unknown.
"""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import GeometryError, PromptError

UNKNOWN = 255
"""The class number of pixels that a correction says nothing about."""
MOST_LABELS = 250


def packed(pixels: NDArray[Any]) -> str:
    """Class numbers of a slice as base64 of zlib of its bytes."""
    return base64.b64encode(zlib.compress(pixels.astype(np.uint8).tobytes(order="F"), 1)).decode("ascii")


def unpacked(text: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The inverse of `packed`; GeometryError where the text is no slice of this shape."""
    expected = f"base64 of zlib of {shape[0]} x {shape[1]} bytes"
    try:
        decoder = zlib.decompressobj()
        content = decoder.decompress(base64.b64decode(text, validate=True), shape[0] * shape[1] + 1)
    except (ValueError, zlib.error) as error:
        raise GeometryError("a slice that cannot be decoded", expected, "send it again") from error
    if len(content) != shape[0] * shape[1]:
        many = "more" if len(content) > shape[0] * shape[1] else str(len(content))
        raise GeometryError(f"a slice of {many} bytes", expected, "send the whole slice")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F")


def from_runs(runs: list[tuple[int, int, int]], rest: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A slice from runs (start, length, class number); pixels outside of all runs are `rest`. Later runs win."""
    count = shape[0] * shape[1]
    pixels = np.full(count, rest, np.uint8)
    for start, length, number in runs:
        if start < 0 or length < 1 or start + length > count:
            raise GeometryError(
                f"a run of {length} pixels from {start} in a slice of {count}", "runs within the slice", "correct it"
            )
        check_number(number, MOST_LABELS)
        pixels[start : start + length] = number
    return pixels.reshape(shape, order="F")


def check_number(number: int, classes: int) -> None:
    """Raises PromptError for a class number that is neither 0..classes nor unknown."""
    if not (0 <= number <= classes or number == UNKNOWN):
        raise PromptError(
            f"the class number {number}", f"0 to {classes}, or {UNKNOWN} for unknown", "add the label to the task first"
        )
