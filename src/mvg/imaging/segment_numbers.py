"""Segments have names, and any program numbers them as it likes: one name has one value in all targets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mvg.imaging.segments import has_segments, names_of
from mvg.imaging.volume import LabelMap


@dataclass(eq=False)
class SegmentNumbers:
    """The values of names, as the targets that were read first have them."""

    values: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> dict[int, str]:
        """Value -> name."""
        return {value: name for name, value in sorted(self.values.items(), key=lambda item: item[1])}

    def apply(self, target: LabelMap) -> LabelMap:
        """A target with the values of its segments' names; the same one where nothing changes."""
        if not has_segments(target) or not target.values:
            return target
        mapping = self.numbered(names_of(target))
        if all(mapping.get(value, value) == value for value in target.values):
            return target
        table = np.arange(target.values[-1] + 1)
        for value in target.values:
            table[value] = mapping.get(value, value)
        return replace(target, voxels=table[target.voxels])

    def numbered(self, names: Mapping[int, str]) -> dict[int, int]:
        """The value of each segment of a target: that of its name, else its own if it is free, else the next one.

        Names that are empty, or that several segments of the target have, say nothing: these keep their numbers.
        """
        mapping, counts = {}, Counter(names.values())
        for number, name in sorted(names.items()):
            key = name if name and counts[name] == 1 else f"{name} {number}".strip()
            if key not in self.values:
                taken = self.values.values()
                self.values[key] = number if number not in taken else max(taken) + 1
            mapping[number] = self.values[key]
        return mapping
