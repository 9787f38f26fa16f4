"""The model behind one interface: prompts and a query in, the query's target out.

    features = model.embed(images)                            # images alone, whatever the task
    prompts = model.encode(features, targets, "labels")       # once, for any number of queries
    logits = model.answer(model.embed(query), prompts, "labels")

Two forms do this. The matching form (`matching.py`) compares images with images and carries targets along the matches.
The merged form (`merged.py`) is the paper's: a vision transformer over pairs of image and painted target.
"""

from collections.abc import Collection
from copy import copy
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mvg.model.config import GeneralistConfig, MatchingConfig
from mvg.model.fusion import Fusion
from mvg.model.matching import MatchingForm
from mvg.model.merged import MergedForm
from mvg.model.outputs import ImageFeatures, ModelOutput, PromptState, TargetType
from mvg.model.state_names import rename_old
from mvg.model.through_plane import ThroughPlane

OPTIONAL_PARTS = "fusion.", "through_plane.", "form.refiner."
"""Networks that weights may have or not, by how the names of their tensors begin. Encoded prompts depend on none."""


class Generalist(nn.Module):
    """Predicts the target of a query image as prompts, pairs of image and target, show it.

    Images are (..., i, s, s) in [0, 1]: i = `config.inputs`, s any multiple of `config.patch`. Where there are several
    inputs, the first is the one that a target is a change of. Targets are (..., c, s, s). Labels have one channel of 0
    and 1 per class, or one painted picture in all where `config.paints`; an image is one channel in [0, 1].

    fusion: combines answers for neighboring slices of a volume of which some are annotated; through_plane: of one whose
    prompts are other images. Weights may have both, see `fusion.py` and `through_plane.py`, and the form a refiner of
    pictures, see `picture_refiner.py`.
    """

    def __init__(self, config: GeneralistConfig) -> None:
        super().__init__()
        self.config = config
        self.form = MatchingForm(config) if isinstance(config, MatchingConfig) else MergedForm(config)
        self.fusion: Fusion | None = None
        self.through_plane: ThroughPlane | None = None
        self.register_load_state_dict_pre_hook(_rename_old)  # type: ignore[no-untyped-call]

    def drop_fitted(self) -> None:
        """Remove the networks that were fitted to what the others answer, before these learn something else."""
        self.fusion = self.through_plane = None
        if isinstance(self.form, MatchingForm):
            self.form.refiner = None

    def add_parts_of(self, names: Collection[str]) -> None:
        """Add, untrained, those of the optional networks that tensors of these names belong to."""
        fusion, through_plane, refiner = (any(name.startswith(part) for name in names) for part in OPTIONAL_PARTS)
        self.fusion = Fusion() if fusion else None
        self.through_plane = ThroughPlane() if through_plane else None
        if refiner and isinstance(self.form, MatchingForm):
            self.form.add_refiner()

    def without_refiner(self) -> "Generalist":
        """The same network with the same tensors, whose pictures are not corrected."""
        if not isinstance(self.form, MatchingForm) or self.form.refiner is None:
            return self
        network, form = copy(self), copy(self.form)
        form._modules = {**self.form._modules, "refiner": None}
        network._modules = {**self._modules, "form": form}
        return network

    def let_refiner_learn_alone(self) -> None:
        """Let the refiner of pictures learn, which is added where it is missing; all else stays as it is."""
        assert isinstance(self.form, MatchingForm), "the merged form has no refiner"
        self.requires_grad_(requires_grad=False).eval()
        self.form.add_refiner().requires_grad_().train()

    def embed(self, images: Float[Tensor, "b i s s"]) -> ImageFeatures:
        """The features of b images. They serve selection, `encode` and `answer`, so compute them once per image."""
        assert images.shape[1] == self.config.inputs, f"{images.shape[1]} inputs for a network of {self.config.inputs}"
        return self.form.embed(images)

    def encode(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], target_type: TargetType
    ) -> PromptState:
        """Encode b sets of n prompts, to be kept and used for any number of queries.

        features: of all b * n images, those of each set side by side. b is 1 for prompts that all queries share.
        """
        return self.form.encode(features, targets, self._network_type(target_type))

    def answer(
        self, features: ImageFeatures, prompts: PromptState, target_type: TargetType
    ) -> Float[Tensor, "b c s s"]:
        """The targets of b queries, in float32, from prompts that they share (or one set each).

        Labels: logits per class, background being 0 (softmax over [0, logits]), or a painted picture where
        `config.paints`. Images: intensities, about [0, 1], not clipped.
        """
        output = self.form.answer(features, prompts, self._network_type(target_type))
        maps = output.logits if target_type == "labels" and output.logits is not None else output.pictures
        assert maps is not None
        return maps.float()

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
        """Predict all panels (pairs) from `first` on in one pass: the call of training.

        `causal`: panel i is predicted from the images up to i and the targets before i, its own target hidden (Eq. 2).
        `full`: every panel is predicted from all `visible` target patches, its own included (masked modeling).
        `images`: no target is read and none is predicted.
        Image patches that are not `image_visible` are hidden and reconstructed in `ModelOutput.images`.
        """
        if order == "images":
            assert image_visible is not None, "the order 'images' reconstructs hidden patches; none is hidden"
            return self.form.reconstruct(images, image_visible)
        output: ModelOutput = self.form(
            images, targets, visible, order, first, image_visible, self._network_type(target_type)
        )
        return output

    def _network_type(self, target_type: TargetType) -> TargetType:
        """What the network itself predicts: painted labels are an image to it."""
        return "image" if self.config.paints else target_type


def _rename_old(module: nn.Module, state: dict[str, Any], prefix: str, *rest: object) -> None:
    rename_old(state, prefix)
