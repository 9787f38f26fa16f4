"""The model behind one interface: prompts and a query in, the query's target out."""

from dataclasses import asdict, dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mvg.model.matching import HEAD, MatchingForm
from mvg.model.merged import MergedForm
from mvg.model.outputs import ImageFeatures, ModelOutput, PromptState, TargetType


@dataclass(frozen=True)
class GeneralistConfig:
    """A model's shape. `size` and `patch` are in pixels; the paper's form is `merged`.

    width, depth, heads: of the transformer over patches; fine: width at a quarter of the resolution. Matching form
    alone: target_width to decoder_depth, and paint, which makes all classes of a segmentation one colored picture
    instead of a channel each. Merged form alone: merge_after, levels (both count blocks from 1), stem, head.
    """

    form: Literal["matching", "merged"] = "matching"
    size: int = 128
    patch: int = 16
    width: int = 256
    depth: int = 4
    heads: int = 4
    fine: int = 64
    levels: tuple[int, ...] = (2, 4)
    drop_path: float = 0.0
    target_width: int = 96
    target_depth: int = 1
    decoder_width: int = 96
    decoder_depth: int = 2
    paint: bool = False
    merge_after: int = 3
    stem: Literal["linear", "convolution"] = "convolution"
    head: Literal["paper", "query"] = "query"

    @property
    def paints(self) -> bool:
        """Whether a segmentation is one painted picture to the model; else each class has a channel of its own."""
        return self.paint or self.form == "merged"

    @property
    def independent_prompts(self) -> bool:
        """Whether prompts can be encoded one by one and concatenated."""
        return self.form == "matching"

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a file."""
        return asdict(self) | {"levels": list(self.levels)}


SIZES = {
    "tiny": GeneralistConfig(),
    "small": GeneralistConfig(size=192, width=512, depth=8, heads=8, fine=128, drop_path=0.05,
                              target_width=192, target_depth=2, decoder_width=192, decoder_depth=3),
    "large": GeneralistConfig(form="merged", size=448, patch=16, width=1024, depth=24, heads=16, fine=48,
                              levels=(6, 12, 18, 24), drop_path=0.1, stem="linear", head="paper"),
}  # fmt: skip
"""Named sizes. `tiny` runs on a laptop's CPU; `large` is the paper's ViT-L/16 at 448 pixels."""


Rule = tuple[bool, str, str]
"""Whether it holds, what was found, what was expected."""


def rules_of(config: GeneralistConfig, sides: tuple[int, ...] = ()) -> list[Rule]:
    """What must hold for a network to be built that can learn; `sides`: of pictures (pixels) that it is shown too."""
    matching = config.form == "matching"
    cell, fine = (8, 4) if matching else (1, 1) if config.stem == "linear" else (4, 1)
    levels, last = config.levels, max(config.levels, default=0)
    rising = bool(levels) and set(levels) <= set(range(1, config.depth + 1)) and sorted(set(levels)) == [*levels]
    fits = config.heads >= 1 and config.width >= 1 and config.width % (4 * config.heads) == 0
    matches = config.target_width >= HEAD and config.target_width % HEAD == 0
    reads = config.stem == "convolution" or config.head == "paper"
    rules = [
        (fits, f"model.width = {config.width} for {config.heads} heads", "a multiple of 4 for each head"),
        (config.patch >= cell and config.patch % cell == 0, f"model.patch = {config.patch}", f"a multiple of {cell}"),
        (config.fine >= fine, f"model.fine = {config.fine}", f"at least {fine}"),
        (0 <= config.drop_path < 1, f"model.drop_path = {config.drop_path}", "a share in [0, 1)"),
    ]
    if matching:
        rules += [
            (matches, f"model.target_width = {config.target_width}", f"a multiple of {HEAD}"),
            (config.decoder_width >= 1, f"model.decoder_width = {config.decoder_width}", "at least 1"),
        ]
    else:
        rules += [
            (rising, f"model.levels = {levels}", f"rising numbers of blocks, 1 to {config.depth}"),
            (0 <= config.merge_after < last, f"model.merge_after = {config.merge_after} with model.levels = {levels}",
             "at least 0, and a level after it, or prompts are never seen"),
            (reads, "model.stem = 'linear' with model.head = 'query'", "head 'paper', or stem 'convolution'"),
        ]  # fmt: skip
    for side in (config.size, *sides) if config.patch >= 1 else ():
        rules.append(
            (side >= 1 and side % config.patch == 0, f"a picture side of {side}", f"a multiple of {config.patch}")
        )
    return rules


class Generalist(nn.Module):
    """Answers a query image in the way that prompts (pairs of image and target) show.

    Pictures are (.., 1, s, s) in [0, 1], s any multiple of the patch. Targets have c channels: in the matching form
    one per class of a segmentation (0 or 1) or one picture; where it paints always one painted picture.
    """

    def __init__(self, config: GeneralistConfig) -> None:
        super().__init__()
        self.config = config
        self.form: MatchingForm | MergedForm
        if config.form == "matching":
            self.form = MatchingForm(
                width=config.width, depth=config.depth, heads=config.heads, patch=config.patch, fine=config.fine,
                drop_path=config.drop_path, target_width=config.target_width, target_depth=config.target_depth,
                decoder_width=config.decoder_width, decoder_depth=config.decoder_depth, paint=config.paint,
            )  # fmt: skip
        else:
            self.form = MergedForm(
                width=config.width, depth=config.depth, heads=config.heads, patch=config.patch, fine=config.fine,
                levels=config.levels, drop_path=config.drop_path,
                merge_after=config.merge_after, stem=config.stem, head=config.head,
            )  # fmt: skip

    def forward(
        self,
        images: Float[Tensor, "b n i s s"],
        targets: Float[Tensor, "b n c s s"],
        visible: Bool[Tensor, "b n h w"],
        order: Literal["causal", "full", "images"],
        first: int = 0,
        image_visible: Bool[Tensor, "b n h w"] | None = None,
        target_type: TargetType = "labels",
    ) -> ModelOutput:
        """Answer every panel from `first` on, in one pass: the call of training.

        `causal`: panel i is answered from the images up to i and the targets before i, its own target unseen (Eq. 2).
        `full`: every panel is answered from all `visible` target patches, its own among them (masked modeling).
        `images`: targets are not looked at and none is answered.
        Image patches that are not `image_visible` are hidden from the model and reconstructed in `ModelOutput.images`.
        """
        if order == "images":
            assert image_visible is not None, "the image stream alone is asked for its hidden patches"
            return self.form.repaint(images, image_visible)
        answer: ModelOutput = self.form(
            images, targets, visible, order, first, image_visible, self._as_target(target_type)
        )
        return answer

    def embed(self, images: Float[Tensor, "b i s s"]) -> ImageFeatures:
        """The features of images, whatever the task; computed once, they serve selection, encoding and answering."""
        return self.form.embed(images)

    def encode(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], target_type: TargetType
    ) -> PromptState:
        """Encode n prompts once, to be kept and used for any number of queries; `features` of all b * n images."""
        return self.form.encode(features, targets, self._as_target(target_type))

    def answer(
        self, features: ImageFeatures, prompts: PromptState, target_type: TargetType
    ) -> Float[Tensor, "b c s s"]:
        """Answer queries from encoded prompts: class logits (`labels`) or pictures (`image`), in float32."""
        output = self.form.answer(features, prompts, self._as_target(target_type))
        maps = output.logits if target_type == "labels" and output.logits is not None else output.pictures
        assert maps is not None
        return maps.float()

    def _as_target(self, target_type: TargetType) -> TargetType:
        """What the network itself answers: painted labels are a picture."""
        return "image" if self.config.paints else target_type
