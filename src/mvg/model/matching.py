"""The matching form: images are compared with images, and targets travel along the matches.

An image stream that never sees a target turns every picture into features. A query finds out in two ways what the
prompts' targets make of it: a ridge regression from features to targets that is solved on the prompts (`ridge.py`),
and patches that look for the prompts' patches like them and collect their targets (attention whose queries and keys
come from the image stream; after Visual Token Matching, Kim et al. 2023). All classes and tasks of a study share the
image features, the factorization and the attention weights; each target channel (one per class, or one picture)
travels and is decoded on its own, by the same layers.
"""

from typing import Literal, cast

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.attention import attention
from mvg.model.decoder import Decoder
from mvg.model.image_encoder import Features, ImageEncoder
from mvg.model.outputs import ImageFeatures, ModelOutput, PromptState, TargetType
from mvg.model.ridge import CELL, Ridge, Sums, cell_weights
from mvg.model.transformer import ConvBlock, init_unit_variance, patches, to_map

HEAD = 32
"""Width of an attention head outside the image stream."""
SHARP = 4.0
"""Class logits are this many times what the head says, so that a sure answer takes no large weights."""


class TargetEncoder(nn.Module):
    """Each target channel of each prompt as one token per cell, aware of its own surroundings and of its image."""

    def __init__(self, width: int, depth: int, patch: int, image_width: int) -> None:
        super().__init__()
        self.patch = patch
        enter, leave = nn.Linear(patch**2, width), nn.Linear(width, width)
        init_unit_variance(enter)
        init_unit_variance(leave, share=1.5)
        self.embed = nn.Sequential(enter, nn.GELU(), leave)
        self.see = nn.Linear(image_width, width)
        init_unit_variance(self.see, share=0.3)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)), nn.GroupNorm(1, width))

    def forward(
        self, targets: Float[Tensor, "b c s s"], visible: Bool[Tensor, "b h w"], image: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b c t e"]:
        channels = targets.shape[1]
        x = self.embed(patches(rearrange(targets, "b c h w -> (b c) 1 h w"), self.patch) * 2 - 1)
        seen = repeat(visible, "b h w -> (b c) (h w) 1", c=channels)
        x = torch.where(seen, x, self.mask_token.to(x.dtype))
        x = x + repeat(self.see(image), "b t e -> (b c) t e", c=channels)
        x = self.blocks(to_map(x, visible.shape[-2]).contiguous(memory_format=torch.channels_last))
        carried: Tensor = rearrange(x, "(b c) e h w -> b c (h w) e", c=channels)
        return carried


class Matching(nn.Module):
    """One depth's matching: queries and keys from the image stream, values from the target stream.

    A learned null key lets a patch match nothing, so a query without any prompt is defined too.
    """

    def __init__(self, image_width: int, target_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(image_width, heads * head_width)
        self.key = nn.Linear(image_width, heads * head_width)
        self.value = nn.Linear(target_width, target_width)
        self.out = nn.Linear(target_width, target_width)
        init_unit_variance(self.value)
        init_unit_variance(self.out)
        self.null_key = nn.Parameter(torch.zeros(heads, 1, head_width))
        self.null_value = nn.Parameter(torch.zeros(heads, 1, target_width // heads))

        # Queries and keys start alike, and sharp enough to single out a patch among some hundred: matching what looks
        # alike is there from the first step, and only has to be refined.
        init_unit_variance(self.query, share=1.7)
        self.key.load_state_dict(self.query.state_dict())

    def offer(
        self, image: Float[Tensor, "m p d"], target: Float[Tensor, "m c p w"], batch: int
    ) -> tuple[Float[Tensor, "b h k e"], Float[Tensor, "b h k c v"]]:
        """Keys and values of m = batch * n panels, each request's panels side by side (k = n * p)."""
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
        """Collect what the matched patches' targets say; one set of attention weights serves all channels."""
        q = rearrange(self.query(image), "b t (h e) -> b h t e", h=self.heads)
        batch, _, _, channels, _ = values.shape
        null_key = repeat(self.null_key.to(keys.dtype), "h k e -> b h k e", b=batch)
        null_value = repeat(self.null_value.to(values.dtype), "h k v -> b h k c v", b=batch, c=channels)
        keys = torch.cat([null_key, keys], dim=2)
        values = rearrange(torch.cat([null_value, values], dim=2), "b h k c v -> b h k (c v)")
        mask = None if allowed is None else F.pad(allowed, (1, 0), value=True)[:, None, None, :]
        mixed = attention(q, keys.to(q.dtype), values.to(q.dtype), mask)
        out: Tensor = self.out(rearrange(mixed, "b h t (c v) -> b c t (h v)", c=channels))
        return out


class MatchingForm(nn.Module):
    """Image stream, target stream, matching at two depths, regression, and a decoder per target channel."""

    def __init__(
        self, *, width: int, depth: int, heads: int, patch: int, fine: int,
        target_width: int, target_depth: int, decoder_width: int, decoder_depth: int, drop_path: float, paint: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patch, self.paint = patch, paint
        self.images = ImageEncoder(width, depth, heads, patch, fine, drop_path)
        seen = self.images.width
        self.targets = TargetEncoder(target_width, target_depth, ImageEncoder.CELL, seen)
        self.matchings = nn.ModuleList(Matching(seen, target_width, target_width // HEAD, HEAD) for _ in range(2))
        self.ridge = Ridge(fine)
        self.decoder = Decoder(decoder_width, decoder_depth, fine, seen, 2 * target_width)
        self.image_head = nn.Linear((patch // ImageEncoder.CELL) ** 2 * seen, patch**2)

    def _matchings(self) -> list[Matching]:
        return cast(list[Matching], list(self.matchings))

    def forward(
        self,
        images: Float[Tensor, "b n 1 s s"],
        targets: Float[Tensor, "b n c s s"],
        visible: Bool[Tensor, "b n h w"],
        order: Literal["causal", "full"],
        first: int,
        image_visible: Bool[Tensor, "b n h w"] | None,
        target_type: TargetType,
    ) -> ModelOutput:
        """Answer panels `first` and after: from earlier panels (causal), or from every visible patch (full)."""
        (batch, panels), rows = images.shape[:2], visible.shape[-2]
        hidden = None
        if image_visible is not None:
            hidden = image_visible.flatten(0, 1)
            images = images * _finer(image_visible, self.patch)[:, :, None]
        seen = self.images(images.flatten(0, 1), hidden)
        features = rearrange(self.ridge.describe(seen.fine, images.flatten(0, 1)), "(b n) m d -> b n m d", b=batch)
        levels = rearrange(seen.levels, "(b n) l t d -> l b n t d", b=batch)
        # In causal order nobody reads the last panel's target.
        shown = panels if order == "full" else max(1, panels - 1)
        cells, known = _finer(visible[:, :shown], self.patch // ImageEncoder.CELL), targets[:, :shown].flatten(0, 1)
        carried = self.targets(known, cells.flatten(0, 1), levels[-1, :, :shown].flatten(0, 1))
        carried = self._coarser(carried, rows)
        weight = _finer(visible[:, :shown], self.patch // CELL).flatten(2).flatten(0, 1).float()
        weight = cell_weights(images[:, :shown].flatten(0, 1), known, weight, target_type)
        sums = self.ridge.sums(features[:, :shown].flatten(0, 1), known, weight)
        parts = (rearrange(s, "(b n) ... -> b n ...", b=batch) for s in sums)
        told = [cumulative_sums(some, first, panels, order).flatten(0, 1) for some in parts]
        asked = features[:, first:].flatten(0, 1)
        said = self.ridge.predict(Sums(*told), asked, target_type)
        collected = []
        for matching, level in zip(self._matchings(), levels, strict=True):
            keys, values = matching.offer(self._coarser(level[:, :shown].flatten(0, 1), rows), carried, batch)
            if order == "full":
                query = rearrange(level[:, first:], "b n t d -> b (n t) d")
                found = matching(query, keys, values, visible.flatten(1))
                collected.append(rearrange(found, "b c (n t) w -> b n c t w", n=panels - first))
            else:
                tokens = visible[0, 0].numel()
                found_by = [
                    matching(query, keys[:, :, : i * tokens], values[:, :, : i * tokens])
                    for i, query in enumerate(level.unbind(1))
                    if i >= first
                ]
                collected.append(torch.stack(found_by, dim=1))
        chosen = Features(
            rearrange(seen.levels, "(b n) l t d -> b n l t d", b=batch)[:, first:].flatten(0, 1),
            rearrange(seen.fine, "(b n) f h w -> b n f h w", b=batch)[:, first:].flatten(0, 1),
        )
        logits, pictures = self.decode(torch.cat(collected, dim=-1).flatten(0, 1), chosen, asked, said)
        repainted = None
        if image_visible is not None:
            repainted = rearrange(self._repainted(seen, image_visible.shape[-2]), "(b n) t p -> b n t p", b=batch)
        logits, pictures = (rearrange(maps, "(b n) c h w -> b n c h w", b=batch) for maps in (logits, pictures))
        return ModelOutput(None if self.paint else logits, pictures, repainted)

    def repaint(self, images: Float[Tensor, "b n 1 s s"], image_visible: Bool[Tensor, "b n h w"]) -> ModelOutput:
        """Reconstruct hidden image patches, each picture by itself: the task of pretraining."""
        seen = self.images(images.flatten(0, 1), image_visible.flatten(0, 1))
        repainted = self._repainted(seen, image_visible.shape[-2])
        return ModelOutput(None, None, rearrange(repainted, "(b n) t p -> b n t p", b=len(images)))

    def _coarser(self, tokens: Float[Tensor, "*b t d"], rows: int) -> Float[Tensor, "*b p d"]:
        """The mean of each patch's cells: what prompts offer, so that many of them cost a query little."""
        times = self.patch // ImageEncoder.CELL
        return reduce(tokens, "... (h i w j) d -> ... (h w) d", "mean", h=rows, i=times, j=times)

    def _repainted(self, seen: Features, rows: int) -> Float[Tensor, "b t p"]:
        times = self.patch // ImageEncoder.CELL
        cells = rearrange(seen.levels[:, -1], "b (h i w j) d -> b (h w) (i j d)", h=rows, i=times, j=times)
        out: Tensor = self.image_head(cells)
        return out

    def decode(
        self,
        collected: Float[Tensor, "b c t w"],
        seen: Features,
        features: Float[Tensor, "b m d"],
        said: Float[Tensor, "b two c m p"],
    ) -> tuple[Float[Tensor, "b c s s"], Float[Tensor, "b c s s"]]:
        """What was found per channel -> class logits and picture per channel, at full resolution."""
        painted, scores = self.decoder(collected, seen, self.ridge.plain(features), said).unbind(0)
        return SHARP * scores, painted

    def embed(self, images: Float[Tensor, "b i s s"]) -> ImageFeatures:
        """The features of images, whatever the task: shared by selection, encoding and answering."""
        features = self.images(images)
        return ImageFeatures(images, features.levels, features.fine, self.ridge.describe(features.fine, images))

    def encode(
        self, features: ImageFeatures, targets: Float[Tensor, "b n c s s"], target_type: TargetType
    ) -> PromptState:
        """Keys and values of n prompts at both depths, and the sums of the regression; `features` of all b * n images.

        Prompts do not attend to one another.
        """
        batch, images, known = len(targets), features.images, targets.flatten(0, 1)
        assert features.levels is not None
        assert features.cells is not None
        rows, columns = images.shape[-2] // ImageEncoder.CELL, images.shape[-1] // ImageEncoder.CELL
        visible = torch.ones(len(images), rows, columns, dtype=torch.bool, device=images.device)
        coarse = images.shape[-2] // self.patch
        carried = self._coarser(self.targets(known, visible, features.levels[:, -1]), coarse)
        offered = [
            matching.offer(self._coarser(level, coarse), carried, batch)
            for matching, level in zip(self._matchings(), features.levels.unbind(1), strict=True)
        ]
        keys, values = zip(*offered, strict=True)
        weight = cell_weights(images, known, torch.ones_like(features.cells[..., 0]), target_type)
        sums = self.ridge.sums(features.cells, known, weight)
        total = tuple(rearrange(s, "(b n) ... -> b n ...", b=batch).sum(1) for s in sums)
        return PromptState(keys, values, targets.shape[1], total)

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: TargetType) -> ModelOutput:
        """Answer queries from encoded prompts (one set for all of them, or one set each)."""
        assert features.levels is not None
        assert features.cells is not None
        assert features.fine is not None
        shared = prompts.keys[0].shape[0] == 1
        collected: list[Tensor] = []
        for matching, level, keys, values in zip(
            self._matchings(), features.levels.unbind(1), prompts.keys, prompts.values, strict=True
        ):
            # Queries that share their prompts are asked as one long query: the prompts are not copied.
            found = matching(level.flatten(0, 1)[None] if shared else level, keys, values)
            collected.append(rearrange(found, "1 c (b t) w -> b c t w", b=len(features)) if shared else found)
        said = self.ridge.predict(Sums(*prompts.sums), features.cells, target_type)
        seen = Features(features.levels, features.fine)
        logits, pictures = self.decode(torch.cat(collected, dim=-1), seen, features.cells, said)
        return ModelOutput(None if self.paint else logits, pictures, None)


def cumulative_sums(
    sums: Float[Tensor, "b m *rest"], first: int, panels: int, order: Literal["causal", "full"]
) -> Float[Tensor, "b n *rest"]:
    """Each panel's sums -> for every panel from `first` on, the sum over those that it may look at."""
    if order == "full":
        return sums.sum(1, keepdim=True).expand(-1, panels - first, *sums.shape[2:])
    before = torch.cat([torch.zeros_like(sums[:, :1]), sums.cumsum(1)], dim=1)
    return before[:, first:panels]


def _finer(visible: Bool[Tensor, "b n h w"], times: int) -> Bool[Tensor, "b n i j"]:
    """The same on a grid that is `times` as fine."""
    return repeat(visible, "b n h w -> b n (h i) (w j)", i=times, j=times)
