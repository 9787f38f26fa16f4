"""Small labels that lie near one another share a magnified region."""

from collections.abc import Callable, Sequence
from itertools import combinations


def grouped(
    classes: Sequence[int], magnification: Callable[[tuple[int, ...]], float], together: float
) -> list[tuple[int, ...]]:
    """The classes in groups, from as many groups as classes on, as long as two of them may be joined.

    magnification: by how much some classes may be magnified together. Those two are joined first that lose least;
    together: share of the smaller of both magnifications that a joined group must keep.
    """
    groups: list[tuple[int, ...]] = [(number,) for number in classes]
    while len(groups) > 1:
        ratios = {
            (one, other): magnification((*one, *other)) / min(magnification(one), magnification(other))
            for one, other in combinations(groups, 2)
        }
        (one, other), ratio = max(ratios.items(), key=lambda item: item[1])
        if ratio < together:
            break
        groups = [group for group in groups if group not in (one, other)] + [tuple(sorted((*one, *other)))]
    return groups
