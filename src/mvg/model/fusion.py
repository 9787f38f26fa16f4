"""A small network that turns what is known about the slices of a volume into one answer: learnt fusion.

It looks along the volume, see `slice_network.py`. It starts as the log-odds that it is shown, and changes them, one
class at a time.
"""

from enum import IntEnum

from jaxtyping import Float
from torch import Tensor

from mvg.model.slice_network import SliceNetwork

SCALE = 8.0
"""Log-odds, and pixels of signed distances, are divided by this in the evidence."""


class Evidence(IntEnum):
    """The maps that the network receives for a slice and a class; distances are signed, positive inside.

    log_odds: of the model, or of the annotation. prior: distances interpolated between the nearest annotated slices
    below and above; change: by how much they differ from those of the nearest one, extrapolated beyond the last one.
    below, above: distances in these slices. steps, gap: log(1 + slices) to the nearest annotated slice, and between
    both; reach: millimetres to the nearest one over the radius of the class. outside: 1 beyond the last annotated
    slice; known: 1 in annotated slices. area: of the class in the nearest annotated slice over its largest; radius: of
    the class in pixels. others: the highest log-odds of the other classes. image, image_below, image_above: pictures.
    """

    log_odds = 0
    prior = 1
    change = 2
    below = 3
    above = 4
    steps = 5
    gap = 6
    reach = 7
    outside = 8
    known = 9
    area = 10
    radius = 11
    others = 12
    image = 13
    image_below = 14
    image_above = 15


class Fusion(SliceNetwork):
    """Evidence (b, 16, n, s, s) about n neighboring slices -> log-odds (b, n, s, s); s is divisible by 8."""

    def __init__(self) -> None:
        super().__init__(len(Evidence), coarse=40, outputs=3)

    def forward(self, evidence: Float[Tensor, "b f n s s"]) -> Float[Tensor, "b n s s"]:
        """Log-odds and prior, weighted for each slice, plus a change per pixel and one per slice."""
        pixels, (trust, weight, presence) = self.changes(evidence)
        log_odds, prior = evidence[:, Evidence.log_odds], evidence[:, Evidence.prior]
        fused: Tensor = (1 + trust) * log_odds + weight * prior + (pixels + presence) / 2
        return SCALE * fused
