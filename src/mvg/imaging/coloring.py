"""Colorings: labels painted as intensities of one channel, and read back (paper Sec. 3.2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvg.errors import PromptError, UnknownNameError

MOST_CLASSES = 255
_LEVELS = 32  # distinct colors that random colorings draw from, while the classes are fewer


@dataclass(frozen=True)
class Coloring:
    """Pairs every label of `values` with one color of (0, 1]; the background, label 0, is always color 0.

    There are at most 255 distinct values other than 0, and distinct colors; else PromptError.
    """

    values: tuple[int, ...]
    colors: tuple[float, ...]

    def __post_init__(self) -> None:
        good = len(self.values) == len(self.colors) == len(set(self.values)) == len(set(self.colors))
        if not (good and 0 not in self.values and all(0 < color <= 1 for color in self.colors)):
            raise PromptError(
                f"labels {self.values} with colors {self.colors}",
                "as many distinct colors in (0, 1] as distinct labels other than 0",
                "correct the coloring",
            )
        if len(self.values) > MOST_CLASSES:
            raise PromptError(f"{len(self.values)} classes", f"at most {MOST_CLASSES}", "ask for fewer at a time")

    @classmethod
    def binary(cls, value: int) -> "Coloring":
        """Paints one label white and every other label as background; N classes need N such colorings."""
        return cls((int(value),), (1.0,))

    @classmethod
    def predefined(cls, name: str, classes: Mapping[str, Iterable[int]]) -> "Coloring":
        """Fixed colors for the set `name`; `classes` holds the classes of all sets, and no two sets share a color."""
        if name not in classes:
            raise UnknownNameError("data set", name, classes)
        pairs = [(key, value) for key in sorted(classes) for value in _ordered(classes[key])]
        pairs_of_set = [(value, (k + 1) / len(pairs)) for k, (key, value) in enumerate(pairs) if key == name]
        return cls(tuple(value for value, _ in pairs_of_set), tuple(color for _, color in pairs_of_set))

    @classmethod
    def random(cls, values: Iterable[int], rng: np.random.Generator) -> "Coloring":
        """Distinct random colors from an evenly spaced palette; every training episode draws new ones."""
        ordered = _ordered(values)
        levels = max(_LEVELS, len(ordered))
        levels_drawn = rng.choice(levels, len(ordered), replace=False)
        return cls(ordered, tuple((int(level) + 1) / levels for level in levels_drawn))

    @classmethod
    def spaced(cls, values: Iterable[int]) -> "Coloring":
        """Evenly spaced colors in the order of the labels, for prediction."""
        ordered = _ordered(values)
        return cls(ordered, tuple((k + 1) / len(ordered) for k in range(len(ordered))))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Background and values, (K + 1,): the labels of the indices 0..K of `palette` and `soft`."""
        return np.array((0, *self.values), np.int64)

    @property
    def palette(self) -> NDArray[np.float32]:
        """The colors of `labels`, (K + 1,)."""
        return np.array((0.0, *self.colors), np.float32)

    def paint(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        """Converts labels of any shape to a float32 picture in [0, 1]; labels without a color become background."""
        if labels.dtype == np.uint8:
            table = np.zeros(256, np.float32)
            for value, color in zip(self.values, self.colors, strict=True):
                if 0 <= value < 256:
                    table[value] = color
            return np.asarray(table[labels])
        order = np.argsort(self.labels)
        sorted_labels = self.labels[order]
        index = np.minimum(np.searchsorted(sorted_labels, labels), len(sorted_labels) - 1)
        return np.where(sorted_labels[index] == labels, self.palette[order][index], np.float32(0))

    def read(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Converts a picture of any shape to labels: those of the nearest colors, in the smallest integer type."""
        order = np.argsort(self.palette)
        colors = self.palette[order]
        picture = np.asarray(picture, np.float32)
        index = np.zeros(picture.shape, np.uint8)
        for border in (colors[1:] + colors[:-1]) / 2:  # far faster than a search for the few colors there are
            index += picture > border
        return self.labels[order].astype(_integer_type(self.labels))[index]

    def logits(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """The logarithms (K + 1, ...) of the probabilities of `soft`, up to a constant."""
        colors = np.sort(self.palette)
        width = np.float32(np.diff(colors).min(initial=1.0) / 4)
        away = np.asarray(picture, np.float32)[None] - self.palette.reshape(-1, *[1] * np.ndim(picture))
        return np.asarray(-0.5 * np.square(away / width), np.float32)

    def soft(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """Probabilities (K + 1, ...) of background and values, which decrease with the distance to their colors.

        They sum to 1 and the largest belongs to the label that `read` returns.
        """
        logits = self.logits(picture)
        logits -= logits.max(axis=0, keepdims=True)
        np.exp(logits, out=logits)
        return np.asarray(logits / logits.sum(axis=0, keepdims=True), np.float32)


def _ordered(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({int(value) for value in values} - {0}))


def _integer_type(values: NDArray[np.int64]) -> np.dtype[Any]:
    for kind in (np.uint8, np.uint16, np.int16, np.int32):
        if np.iinfo(kind).min <= values.min() and values.max() <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype(np.int64)
