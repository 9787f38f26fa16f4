"""nnU-Net's region-based labels: classes that overlap, and the order in which a label map shows them.

"labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3},
"regions_class_order": [1, 2, 3]

The regions are painted one over the other in the order of `labels`, each with its value of `regions_class_order`; so a
label map is written. Where the order was chosen well, this gives the values of the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NO_REGIONS = ("background", "ignore")


@dataclass(frozen=True)
class Region:
    """A class of region-based labels: its name, the label values of files within it, and the value that is written."""

    name: str
    values: frozenset[int]
    written: int


def regions_of(description: Mapping[str, Any]) -> tuple[Region, ...]:
    """The regions of a dataset.json in their order; none without `regions_class_order`.

    Raises ValueError where the order has not one value from 1 on for each region, all different.
    """
    order = description.get("regions_class_order")
    if order is None:
        return ()
    named = {str(name): values for name, values in description.get("labels", {}).items() if name not in _NO_REGIONS}
    values = [int(value) for value in order]
    if len(values) != len(named) or len(set(values)) != len(values) or min(values, default=1) < 1:
        raise ValueError(f"regions_class_order has {order} for {len(named)} regions ({', '.join(named)})")
    return tuple(
        Region(name, frozenset(map(int, label if isinstance(label, list) else [label])), value)
        for (name, label), value in zip(named.items(), values, strict=True)
    )


def written_values(regions: Sequence[Region]) -> tuple[tuple[int, int], ...]:
    """(value of files, value that is written) of all values of files: of several regions the last one counts."""
    written = {value: region.written for region in regions for value in region.values}
    return tuple(sorted(written.items()))


def region_names(regions: Sequence[Region]) -> dict[int, str]:
    """Written value -> name: what is left of a region when later ones are painted over it.

    Values that are never seen, because later regions cover theirs, are left out.
    """
    visible = {written for _, written in written_values(regions)}
    return {
        region.written: " without ".join([region.name, *_outermost(region, regions[number + 1 :])])
        for number, region in enumerate(regions)
        if region.written in visible
    }


def renumbered_regions(regions: Sequence[Region], numbers: Mapping[int, int]) -> dict[str, Any]:
    """ "labels" and "regions_class_order" of a dataset.json for label maps that hold written values as `numbers`.

    Raises ValueError for a region that a label map cannot show: its values are written as those outside of it, too.
    """
    written = dict(written_values(regions))
    labels: dict[str, Any] = {"background": 0}
    visible = [region for region in regions if region.written in written.values()]
    for region in visible:
        inside = {written[value] for value in region.values}
        outside = {new for value, new in written.items() if value not in region.values}
        if inside & outside:
            raise ValueError(f"label maps do not show the region '{region.name}', which others cover in part")
        members = sorted(numbers[value] for value in inside)
        labels[region.name] = members if len(members) > 1 else members[0]
    return {"labels": labels, "regions_class_order": [numbers[region.written] for region in visible]}


def _outermost(region: Region, later: Sequence[Region]) -> list[str]:
    """The names of later regions that overlap a region and lie in no other one of them, as one text."""
    over = [one for one in later if one.values & region.values]
    outermost = [one.name for one in over if not any(one.values < other.values for other in over)]
    return [" and ".join(outermost)] if outermost else []
