"""How a request reaches the model: pairs of images and target, and which of their patches are visible.

All training and validation goes through `compose`. It blanks every patch that is not visible, so that the model cannot
use what it never receives. It refuses a query whose patient is among its prompts, and in a request of one volume a
query whose own slice is among them.
"""

from dataclasses import dataclass, replace

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from mvg.tasks import TargetType


@dataclass(frozen=True)
class Pairs:
    """A batch of b requests of n pairs each, prompts first, the query last.

    images: (b, n, i, s, s) in [0, 1], i images or channels per pair; targets: (b, n, c, s, s), for `labels` one channel
    of 0 and 1 per class, for `image` one picture in [0, 1]; used: (b, c), False for channels that only pad a
    request to the batch's c; colors: (b, k) in (0, 1], the color of each of k classes in a painted target; after
    painting c is 1 and k stays; patients: per request one name per pair ("" if unknown); names: per request its set and
    task, "SET/KIND:DETAIL"; requests of training always have one.
    same_volume: per request, True where prompts are other slices of the query's own volume (empty: nowhere); slices:
    per request the number of each pair's slice in its set, which such requests need; in one volume, numbers
    differ as much as the slices lie apart. prompt_targets: the targets as the canvas shows them, where prompts
    are deliberately imperfect (None: `targets`); what is scored is always `targets`.
    """

    images: Float[Tensor, "b n i s s"]
    targets: Float[Tensor, "b n c s s"]
    used: Bool[Tensor, "b c"]
    colors: Float[Tensor, "b k"]
    patients: tuple[tuple[str, ...], ...]
    target_type: TargetType
    names: tuple[str, ...] = ()
    same_volume: tuple[bool, ...] = ()
    slices: tuple[tuple[int, ...], ...] = ()
    prompt_targets: Float[Tensor, "b n c s s"] | None = None

    @property
    def canvas_targets(self) -> Float[Tensor, "b n c s s"]:
        """The targets as a canvas shows them."""
        return self.targets if self.prompt_targets is None else self.prompt_targets

    def painted(self) -> "Pairs":
        """The same requests with each label target as one painted picture (Sec. 3.2 of the paper); pictures stay."""
        if self.target_type != "labels":
            return self
        prompt_targets = None if self.prompt_targets is None else self._paint(self.prompt_targets)
        return replace(self, targets=self._paint(self.targets), prompt_targets=prompt_targets, used=self.used[:, :1])

    def _paint(self, targets: Float[Tensor, "b n c s s"]) -> Float[Tensor, "b n 1 s s"]:
        return torch.einsum("bnchw,bc->bnhw", targets, self.colors)[:, :, None]

    def split(self, parts: int) -> list["Pairs"]:
        """The batch in this many equal parts, in order. parts: a divisor of the number of requests."""
        count = len(self.images) // parts
        assert count * parts == len(self.images), f"{len(self.images)} requests in {parts} equal parts"
        return [self._slice(slice(first, first + count)) for first in range(0, len(self.images), count)]

    def _slice(self, requests: slice) -> "Pairs":
        return replace(
            self,
            images=self.images[requests],
            targets=self.targets[requests],
            used=self.used[requests],
            colors=self.colors[requests],
            patients=self.patients[requests],
            names=self.names[requests],
            same_volume=self.same_volume[requests],
            slices=self.slices[requests],
            prompt_targets=None if self.prompt_targets is None else self.prompt_targets[requests],
        )

    def to(self, device: torch.device) -> "Pairs":
        """The same on another device."""
        images, targets, used, colors = (
            part.to(device, non_blocking=True) for part in (self.images, self.targets, self.used, self.colors)
        )
        prompt_targets = None if self.prompt_targets is None else self.prompt_targets.to(device, non_blocking=True)
        return replace(self, images=images, targets=targets, used=used, colors=colors, prompt_targets=prompt_targets)


@dataclass(frozen=True)
class Canvas:
    """What the model receives: pictures as in `Pairs`, blank (0) where they are hidden.

    visible (of targets), image_visible (of images): (b, n, h, w), one value per patch, False where hidden;
    image_visible is None where no image patch is hidden.
    """

    images: Float[Tensor, "b n i s s"]
    targets: Float[Tensor, "b n c s s"]
    visible: Bool[Tensor, "b n h w"]
    image_visible: Bool[Tensor, "b n h w"] | None
    target_type: TargetType


def compose(
    pairs: Pairs,
    visible: Bool[Tensor, "b n h w"],
    image_visible: Bool[Tensor, "b n h w"] | None = None,
    first_query: int = -1,
) -> Canvas:
    """Blank hidden patches. Pairs from `first_query` on are queries; the pairs before each of them are its prompts.

    AssertionError where a query's patient is among its prompts (the name "" is not compared), and in a request of one
    volume where its slice is among them: the caller is broken.
    """
    first = first_query % pairs.images.shape[1]
    for request, patients in enumerate(pairs.patients):
        if pairs.same_volume and pairs.same_volume[request]:
            _refuse_query_slice(patients, pairs.slices[request], first)
        else:
            _refuse_query_patient(patients, first)
    targets = _blank(pairs.canvas_targets, visible)
    images = pairs.images if image_visible is None else _blank(pairs.images, image_visible)
    return Canvas(images, targets, visible, image_visible, pairs.target_type)


def _refuse_query_patient(patients: tuple[str, ...], first_query: int) -> None:
    for query, patient in enumerate(patients[first_query:], first_query):
        assert not patient or patient not in patients[:query], f"patient {patient} prompts its own query"


def _refuse_query_slice(patients: tuple[str, ...], slices: tuple[int, ...], first_query: int) -> None:
    """Slices of one volume may prompt one another, but no slice prompts itself."""
    for query, number in enumerate(slices[first_query:], first_query):
        assert number not in slices[:query], f"slice {number} of patient {patients[query]} prompts itself"


def _blank(pictures: Float[Tensor, "b n c s s"], visible: Bool[Tensor, "b n h w"]) -> Float[Tensor, "b n c s s"]:
    return pictures * per_pixel(visible, pictures.shape[-1])


def per_pixel(visible: Tensor, size: int) -> Tensor:
    """One value per patch (b, n, h, w) -> one value per pixel (b, n, 1, size, size)."""
    side = size // visible.shape[-1]
    return repeat(visible, "b n h w -> b n 1 (h p) (w q)", p=side, q=side)


def all_visible(pairs: Pairs, patch: int) -> Bool[Tensor, "b n h w"]:
    """A mask under which every target patch is visible."""
    batch, panels, _, rows, columns = pairs.images.shape
    return torch.ones(batch, panels, rows // patch, columns // patch, dtype=torch.bool, device=pairs.images.device)


def image_patches(images: Float[Tensor, "b n i s s"], patch: int) -> Float[Tensor, "b n t d"]:
    """The patches of the images, as `ModelOutput.images` reconstructs them."""
    return rearrange(images, "b n i (h p) (w q) -> b n (h w) (i p q)", p=patch, q=patch)
