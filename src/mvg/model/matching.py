"""The matching form: images are compared with images, and targets are carried along the matches.

An image encoder that never sees a target turns each image into features. A query uses the prompts' targets in two ways:
a ridge regression from features to targets that is solved on the prompts (`ridge.py`), and attention, whose queries and
keys come from the image encoder and whose values come from the target encoder (after Visual Token Matching, Kim et al.
2023). All classes and tasks of a study share the image features, the factorization and the attention weights. Each
target channel (one per class, or one picture) is carried and decoded by itself, by the same layers.
"""

from dataclasses import replace
from typing import Literal, cast

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.attention import attention
from mvg.model.config import HEAD_WIDTH, MatchingConfig
from mvg.model.decoder import BOTH, PICTURES, SCORES, Decoder
from mvg.model.image_encoder import ImageEncoder
from mvg.model.layers import Linear, from_layer
from mvg.model.masks import upsampled
from mvg.model.outputs import ImageFeatures, ModelOutput, PromptState, RidgeSolution, RidgeStatistics, TargetType
from mvg.model.panels import panel_sums, panels_of, prefix_sums
from mvg.model.picture_refiner import PictureRefiner
from mvg.model.ridge import RIDGE_CELL, Ridge, cell_weights, pictures_of
from mvg.model.target_encoder import TargetEncoder, distinct_channels
from mvg.model.transformer import init_unit_variance
from mvg.model.voids import void_filling

_SHARPNESS = 4.0  # logits are scores x 4, so that a sure prediction needs no large weights


class Matching(nn.Module):
    """Matching at one depth: queries and keys from image tokens, values from target tokens.

    A learned null key lets a cell match nothing, so that a query without any prompt is defined too.
    """

    def __init__(self, image_width: int, target_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(image_width, heads * head_width)
        self.key = Linear(image_width, heads * head_width)
        self.value = Linear(target_width, target_width)
        self.out = Linear(target_width, target_width)
        init_unit_variance(self.value)
        init_unit_variance(self.out)
        self.null_key = nn.Parameter(torch.zeros(heads, 1, head_width))
        self.null_value = nn.Parameter(torch.zeros(heads, 1, target_width // heads))

        # Queries and keys start equal, and sharp enough to single out one patch among some hundred: matching by
        # similarity works from the first step and only has to be refined.
        init_unit_variance(self.query, share=1.7)
        self.key.load_state_dict(self.query.state_dict())

    def keys_values(
        self, image: Float[Tensor, "m p d"], target: Float[Tensor, "m c p w"], batch: int
    ) -> tuple[Float[Tensor, "b h k e"], Float[Tensor, "b h k c v"]]:
        """Keys and values of m = batch * n panels, the panels of each request side by side (k = n * p)."""
        keys = rearrange(self.key(image), "(b n) t (h e) -> b h (n t) e", b=batch, h=self.heads)
        values = rearrange(self.value(target), "(b n) c t (h v) -> b h (n t) c v", b=batch, h=self.heads)
        return keys, values

    def forward(
        self,
        image: Float[Tensor, "b t d"],
        keys: Float[Tensor, "b h k e"],
        values: Float[Tensor, "b h k c v"],
        allowed: Bool[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b c t w"]:
        """The targets of the matched patches; one set of attention weights serves all channels."""
        q = rearrange(from_layer(self.query, self.query(image)), "b t (h e) -> b h t e", h=self.heads)
        batch, _, _, channels, _ = values.shape
        null_key = repeat(self.null_key.to(keys.dtype), "h k e -> b h k e", b=batch)
        null_value = repeat(self.null_value.to(values.dtype), "h k v -> b h k c v", b=batch, c=channels)
        keys = torch.cat([null_key, keys], dim=2)
        values = rearrange(torch.cat([null_value, values], dim=2), "b h k c v -> b h k (c v)")
        mask = None if allowed is None else F.pad(allowed, (1, 0), value=True)[:, None, None, :]
        values = values if self.out.is_reduced else values.to(q.dtype)
        matched = attention(q, keys.to(q.dtype), values, mask)
        out: Tensor = self.out(rearrange(matched, "b h t (c v) -> b c t (h v)", c=channels))
        return out


class MatchingForm(nn.Module):
    """Image encoder, target encoder, matching at two depths, regression, and a decoder per target channel.

    refiner: corrects decoded pictures; weights may have one, see `picture_refiner.py`.
    """

    def __init__(self, config: MatchingConfig) -> None:
        super().__init__()
        self.config, self.patch = config, config.patch
        self.image_encoder = ImageEncoder(config)
        width, target_width = self.image_encoder.width, config.target_width
        self.target_encoder = TargetEncoder(target_width, config.target_depth, ImageEncoder.CELL, width)
        self.matchings = nn.ModuleList(
            Matching(width, target_width, target_width // HEAD_WIDTH, HEAD_WIDTH) for _ in range(2)
        )
        self.ridge = Ridge(config.fine_width, config.inputs)
        self.decoder = Decoder(config, width)
        cells = (config.patch // ImageEncoder.CELL) ** 2
        self.image_head = nn.Linear(cells * width, config.inputs * config.patch**2)
        self.refiner: PictureRefiner | None = None

    def add_refiner(self) -> PictureRefiner:
        """Give the network an untrained refiner, which changes nothing yet, where it has none."""
        self.refiner = self.refiner or PictureRefiner(self.config, self.image_encoder.width)
        return self.refiner

    def embed(self, images: Float[Tensor, "b i s s"], visible: Bool[Tensor, "b h w"] | None = None) -> ImageFeatures:
        """The features of images, whatever the task; voids are filled here, once. Hidden patches are blanked."""
        if visible is not None:
            images = images * upsampled(visible, self.patch)[:, None]
        levels, fine = self.image_encoder(images, visible)
        return ImageFeatures(images, levels, fine, void_filling(images))

    def forward(
        self,
        images: Float[Tensor, "b n i s s"],
        targets: Float[Tensor, "b n c s s"],
        visible: Bool[Tensor, "b n h w"],
        order: Literal["causal", "full"],
        first: int,
        image_visible: Bool[Tensor, "b n h w"] | None,
        target_type: TargetType,
    ) -> ModelOutput:
        """Predict panels `first` and after: from earlier panels (causal), or from every visible patch (full)."""
        batch, panels = images.shape[:2]
        features = self.embed(images.flatten(0, 1), None if image_visible is None else image_visible.flatten(0, 1))
        features = replace(features, cells=self._cells(features))
        count = panels if order == "full" else max(1, panels - 1)  # the last target prompts nothing
        prompts, queries = features.panels(batch, slice(count)), features.panels(batch, slice(first, None))
        targets, visible = targets[:, :count], visible[:, :count]

        sums = self._statistics(prompts, targets.flatten(0, 1), visible.flatten(0, 1), target_type)
        solution = self.ridge.solve(prefix_sums(sums, batch, range(first, panels), order), target_type)
        keys_values = self._keys_values(prompts, targets, visible)
        matched = self._matched_panels(queries, keys_values, visible, order, first)

        maps, scores = self._decoded(queries, matched.flatten(0, 1), solution, BOTH, target_type).unbind(0)
        pictures, logits = panels_of(maps, batch), None if self.config.paint else panels_of(_SHARPNESS * scores, batch)
        rebuilt = None if image_visible is None else self._reconstructed(features, batch, image_visible.shape[-2])
        return ModelOutput(logits, pictures, rebuilt)

    def reconstruct(self, images: Float[Tensor, "b n i s s"], image_visible: Bool[Tensor, "b n h w"]) -> ModelOutput:
        """Reconstruct hidden image patches, each image by itself: the task of pretraining."""
        levels, fine = self.image_encoder(images.flatten(0, 1), image_visible.flatten(0, 1))
        features = ImageFeatures(images.flatten(0, 1), levels, fine)
        return ModelOutput(None, None, self._reconstructed(features, len(images), image_visible.shape[-2]))

    def encode(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], target_type: TargetType
    ) -> PromptState:
        """Keys and values of n prompts at both depths, and the sums of the regression; `features` of all b * n images.

        Prompts do not attend to one another. Channels without any label are alike, so one of them is encoded for all.
        """
        distinct, channels = distinct_channels(targets)
        if len(distinct) < len(channels):
            return self.encode_each(features, targets.index_select(2, distinct), target_type).select(channels)
        return self.encode_each(features, targets, target_type)

    def encode_each(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], target_type: TargetType
    ) -> PromptState:
        """As `encode`, also channels that are alike; what it computes does not depend on the values of targets."""
        (batch, panels), side = targets.shape[:2], targets.shape[-1] // self.patch
        visible = torch.ones(batch, panels, side, side, dtype=torch.bool, device=targets.device)
        keys, values = zip(*self._keys_values(features, targets, visible), strict=True)
        weighed = None if target_type == "labels" else visible.flatten(0, 1)
        sums = self._statistics(features, targets.flatten(0, 1), weighed, target_type)
        return PromptState(keys, values, tuple(panel_sums(part, batch) for part in sums))

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: TargetType) -> ModelOutput:
        """Predict queries from encoded prompts (one set for all of them, or one set each)."""
        return self.answer_solved(features, prompts, prompts.solution(target_type, self.ridge.solve), target_type)

    def answer_solved(
        self, features: ImageFeatures, prompts: PromptState, solution: RidgeSolution, target_type: TargetType
    ) -> ModelOutput:
        """As `answer`, with the regression solved already."""
        assert features.levels is not None
        shared = prompts.keys[0].shape[0] == 1
        matched: list[Tensor] = []
        for matching, level, keys, values in zip(
            self._matchings(), features.levels.unbind(1), prompts.keys, prompts.values, strict=True
        ):
            # Queries that share their prompts form one long query, so that the prompts are not copied.
            part = matching(level.flatten(0, 1)[None] if shared else level, keys, values)
            matched.append(rearrange(part, "1 c (b t) w -> b c t w", b=features.images.shape[0]) if shared else part)
        kinds = PICTURES if target_type != "labels" or self.config.paint else SCORES
        maps = self._decoded(features, torch.cat(matched, dim=-1), solution, kinds, target_type)[0]
        return ModelOutput(None, maps, None) if kinds is PICTURES else ModelOutput(_SHARPNESS * maps, None, None)

    def _statistics(
        self,
        features: ImageFeatures,
        targets: Float[Tensor, "m c s s"],
        visible: Bool[Tensor, "m h w"] | None,
        target_type: TargetType,
    ) -> RidgeStatistics:
        """The regression's sums of m prompts, each for itself. visible: None where all cells count alike."""
        if visible is None or (target_type == "labels" and bool(visible.all())):
            return self.ridge.statistics(self._cells(features), targets)
        visible_cells = upsampled(visible, self.patch // RIDGE_CELL).flatten(1).float()
        weight = cell_weights(features.images, targets, visible_cells, target_type)
        return self.ridge.statistics(self._cells(features), targets, weight)

    def _cells(self, features: ImageFeatures) -> Float[Tensor, "b m k"]:
        """The features of the regression: large, and quickly computed, so that nobody has to keep them."""
        if features.cells is not None:
            return features.cells
        assert features.fine is not None
        assert features.filling is not None
        return self.ridge.features(features.fine, features.images, features.filling)

    def _keys_values(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], visible: Bool[Tensor, "b n g g"]
    ) -> list[tuple[Float[Tensor, "b h k e"], Float[Tensor, "b h k c v"]]]:
        """Keys and values of prompts at both depths, one per patch; `features` of all b * n images."""
        assert features.levels is not None
        rows = visible.shape[-2]
        cells = upsampled(visible.flatten(0, 1), self.patch // ImageEncoder.CELL)
        tokens = self.target_encoder(targets.flatten(0, 1), cells, features.levels[:, -1])
        tokens = self._patch_means(tokens, rows)
        return [
            matching.keys_values(self._patch_means(level, rows), tokens, len(targets))
            for matching, level in zip(self._matchings(), features.levels.unbind(1), strict=True)
        ]

    def _matched_panels(
        self,
        queries: ImageFeatures,
        keys_values: list[tuple[Float[Tensor, "b h k e"], Float[Tensor, "b h k c v"]]],
        visible: Bool[Tensor, "b n g g"],
        order: Literal["causal", "full"],
        first: int,
    ) -> Float[Tensor, "b q c t w"]:
        """What q query panels collect at both depths: from earlier panels (causal), or every visible patch (full)."""
        assert queries.levels is not None
        batch, patches, matched = len(visible), visible[0, 0].numel(), []
        for depth, matching in enumerate(self._matchings()):
            keys, values = keys_values[depth]
            panels = panels_of(queries.levels[:, depth], batch)
            if order == "full":
                part = matching(panels.flatten(1, 2), keys, values, visible.flatten(1))
                matched.append(rearrange(part, "b c (n t) w -> b n c t w", n=panels.shape[1]))
                continue
            earlier = (slice(panel * patches) for panel in range(first, first + panels.shape[1]))
            parts = [
                matching(query, keys[:, :, before], values[:, :, before])
                for query, before in zip(panels.unbind(1), earlier, strict=True)
            ]
            matched.append(torch.stack(parts, dim=1))
        return torch.cat(matched, dim=-1)

    def _decoded(
        self,
        features: ImageFeatures,
        matched: Float[Tensor, "b c t w"],
        solution: RidgeSolution,
        kinds: slice,
        target_type: TargetType,
    ) -> Float[Tensor, "kinds b c s s"]:
        """A picture, scores, or both of each channel at full resolution."""
        assert features.levels is not None
        assert features.fine is not None
        cells = self._cells(features)
        regression = self.ridge.predict(solution, cells)
        pixels = self.ridge.pixel_part(cells)
        decoded: Tensor = self.decoder(matched, features.levels[:, -1], features.fine, pixels, regression, kinds)
        if self.refiner is None or target_type != "image" or self.config.paint:
            return decoded
        refined = self.refiner(decoded[0], pictures_of(regression[:, 0], features.images.shape[-2]), matched, features)
        return torch.cat([refined[None], decoded[1:]])

    def _reconstructed(self, features: ImageFeatures, batch: int, rows: int) -> Float[Tensor, "b n t p"]:
        """The patches of all images, from the last level."""
        assert features.levels is not None
        times = self.patch // ImageEncoder.CELL
        cells = rearrange(features.levels[:, -1], "b (h i w j) d -> b (h w) (i j d)", h=rows, i=times, j=times)
        out: Tensor = panels_of(self.image_head(cells), batch)
        return out

    def _patch_means(self, tokens: Float[Tensor, "*b t d"], rows: int) -> Float[Tensor, "*b p d"]:
        """The mean of each patch's cells: prompts offer one key per patch, so that many of them cost a query little."""
        times = self.patch // ImageEncoder.CELL
        # A mean over the first axis takes a tenth of the time of one over two axes in the middle.
        cells = rearrange(tokens, "... (h i w j) d -> (i j) ... (h w) d", h=rows, i=times, j=times)
        return cells.mean(0)

    def _matchings(self) -> list[Matching]:
        return cast(list[Matching], list(self.matchings))
