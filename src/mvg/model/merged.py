"""The merged form, the paper's: image and target tokens are averaged after a few blocks and travel as one sequence.

A pair is a *panel*, one token per patch after the merge. With panel-causal attention a panel attends to itself and to
the panels before it, so prompts are encoded once. For training, one pass scores all pairs with two streams: one holds
visible targets and is attended to, the other holds hidden targets and is scored (Sec. 3.3, Eq. 2 of the paper).
"""

from typing import Literal, cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.config import MergedConfig
from mvg.model.masks import upsampled
from mvg.model.outputs import ImageFeatures, ModelOutput, PromptState, TargetType
from mvg.model.transformer import Attention, Block, ConvStem, FineHead, Positions, patches, unpatch


class LinearStem(nn.Module):
    """The paper's patch embedding: one linear map per patch. There is no fine map."""

    def __init__(self, width: int, patch: int, inputs: int = 1) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(inputs * patch**2, width)

    def forward(self, pictures: Float[Tensor, "b i s s"]) -> tuple[Float[Tensor, "b t d"], None]:
        return self.embed(patches(pictures, self.patch)), None


class PaperHead(nn.Module):
    """The paper's head: tokens expanded to full resolution, a 3 x 3 and a 1 x 1 convolution."""

    def __init__(self, width: int, patch: int, inner: int = 64) -> None:
        super().__init__()
        self.patch = patch
        self.expand = nn.Linear(width, inner * patch**2)
        self.smooth = nn.Conv2d(inner, inner, 3, padding=1)
        self.norm = nn.GroupNorm(1, inner)
        self.read = nn.Conv2d(inner, 1, 1)

    def forward(self, tokens: Float[Tensor, "b t d"], rows: int) -> Float[Tensor, "b 1 s s"]:
        x = unpatch(self.expand(tokens), self.patch, rows).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.read(F.gelu(self.norm(self.smooth(x)))).float()
        return out


class MergedForm(nn.Module):
    """A plain vision transformer over panels."""

    def __init__(self, config: MergedConfig) -> None:
        super().__init__()
        if config.head == "query" and config.stem == "linear":
            raise ValueError("the head 'query' reads the fine map of the stem 'convolution'; the stem is 'linear'")
        self.config, self.patch = config, config.patch
        width, patch, fine = config.width, config.patch, config.fine
        linear = config.stem == "linear"
        self.image_stem = (
            LinearStem(width, patch, config.inputs) if linear else ConvStem(config.inputs, fine, width, patch)
        )
        self.target_stem = LinearStem(width, patch)
        self.image_mask, self.target_mask = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.stream_embedding = nn.Parameter(torch.zeros(2, width))  # of images and of targets
        self.positions = Positions(width, width // config.heads)
        drops = [config.drop_path * i / max(config.depth - 1, 1) for i in range(config.depth)]
        self.blocks = nn.ModuleList(Block(width, config.heads, drop_path=drop) for drop in drops)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in config.levels)
        tokens = len(config.levels) * width
        self.head = FineHead(tokens, fine, patch, maps=1) if config.head == "query" else PaperHead(tokens, patch)
        self.image_head = nn.Linear(width, config.inputs * patch**2)

    def _blocks(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def panels(
        self,
        images: Float[Tensor, "b n i s s"],
        targets: Float[Tensor, "b n 1 s s"],
        visible: Bool[Tensor, "b n h w"],
        image_visible: Bool[Tensor, "b n h w"] | None,
    ) -> tuple[Float[Tensor, "b n t d"], Tensor | None]:
        """Both pictures of each panel through the first blocks, each within its own picture, then averaged."""
        batch, _, _, rows, columns = images.shape
        if image_visible is not None:
            images = images * upsampled(image_visible, self.patch)[:, :, None]
        image, fine = self.image_stem(images.flatten(0, 1) - 0.5)
        target, _ = self.target_stem(targets.flatten(0, 1) - 0.5)
        target = torch.where(rearrange(visible, "b n h w -> (b n) (h w) 1"), target, self.target_mask.to(target.dtype))
        if image_visible is not None:
            visible_cells = rearrange(image_visible, "b n h w -> (b n) (h w) 1")
            image = torch.where(visible_cells, image, self.image_mask.to(image.dtype))
        where = self.positions(rows // self.patch, columns // self.patch)
        rotation = self.positions.rotation(rows // self.patch, columns // self.patch)
        x = torch.cat([image + self.stream_embedding[0], target + self.stream_embedding[1]]) + where
        for block in self._blocks()[: self.config.merge_after]:
            x = block(x, rotation)
        image, target = x.chunk(2)
        return rearrange((image + target) / 2, "(b n) t d -> b n t d", b=batch), fine

    def decode(
        self, levels: list[Tensor], fine: Tensor | None, images: Float[Tensor, "b i s s"]
    ) -> Float[Tensor, "b 1 s s"]:
        """The tokens of all levels -> the painted picture at full resolution."""
        tokens = torch.cat([norm(level) for norm, level in zip(self.norms, levels, strict=True)], dim=-1)
        if isinstance(self.head, PaperHead):
            painted: Tensor = self.head(tokens, images.shape[-2] // self.patch)
            return painted
        assert fine is not None
        painted = self.head(tokens, self.head.shared(fine), images[:, :1])
        return painted

    def forward(
        self,
        images: Float[Tensor, "b n i s s"],
        targets: Float[Tensor, "b n 1 s s"],
        visible: Bool[Tensor, "b n h w"],
        order: Literal["causal", "full"],
        first: int,
        image_visible: Bool[Tensor, "b n h w"] | None,
        target_type: TargetType,
    ) -> ModelOutput:
        """Predict panels `first` and after: from earlier panels (causal), or from every visible patch (full)."""
        batch, panels = images.shape[:2]
        x, fine = self.panels(images, targets, visible, image_visible)
        if order == "causal":
            remaining_visible = None if image_visible is None else image_visible[:, first:]
            nothing = torch.zeros_like(visible[:, first:])
            hidden, _ = self.panels(images[:, first:], targets[:, first:], nothing, remaining_visible)
            x = torch.cat([x, hidden], dim=1)
        rotation = self.positions.rotation(*visible.shape[-2:])
        levels = []
        for index, block in enumerate(self._blocks(), start=1):
            if index > self.config.merge_after:
                x = self._step(block, x, rotation, panels, order, first)
            if index in self.config.levels:
                # In causal order the hidden twins of panel `first` and after are the last ones.
                queries = x[:, first - panels :] if order == "causal" else x[:, first:]
                levels.append(rearrange(queries, "b n t d -> (b n) t d"))
        fine = None if fine is None else rearrange(fine, "(b n) f h w -> b n f h w", b=batch)[:, first:].flatten(0, 1)
        painted = self.decode(levels, fine, images[:, first:].flatten(0, 1))
        painted = rearrange(painted, "(b n) 1 h w -> b n 1 h w", b=batch)
        return ModelOutput(None, painted, None if image_visible is None else self.image_head(x[:, :panels]))

    def _step(
        self, block: Block, x: Float[Tensor, "b m t d"], rotation: Tensor, panels: int, order: str, first: int
    ) -> Float[Tensor, "b m t d"]:
        """One block after the merge; in causal order x is the panels, then the hidden twins of `first` and after."""
        batch = x.shape[0]

        def attend(attention: Attention, *projected: Tensor) -> Tensor:
            q, k, v = (rearrange(part, "(b m) h t e -> b m h t e", b=batch) for part in projected)
            if order == "full":
                joined = [rearrange(part, "b m h t e -> b h (m t) e") for part in (q, k, v)]
                return rearrange(attention.attend(*joined), "b (m t) d -> (b m) t d", m=x.shape[1])
            attended_by = []
            for index in range(x.shape[1]):
                panel = index if index < panels else index - panels + first
                sources = [*range(panel), index]
                keys, values = (rearrange(part[:, sources], "b m h t e -> b h (m t) e") for part in (k, v))
                attended_by.append(attention.attend(q[:, index], keys, values))
            return torch.stack(attended_by, dim=1).flatten(0, 1)

        out: Tensor = block(x.flatten(0, 1), rotation, attend)
        return rearrange(out, "(b m) t d -> b m t d", b=batch)

    def reconstruct(self, images: Float[Tensor, "b n i s s"], image_visible: Bool[Tensor, "b n h w"]) -> ModelOutput:
        """Reconstruct hidden image patches, each image by itself, every target hidden: the task of pretraining."""
        no_targets = torch.zeros_like(images[:, :, :1])
        x, _ = self.panels(images, no_targets, torch.zeros_like(image_visible), image_visible)
        batch, rotation = len(x), self.positions.rotation(*image_visible.shape[-2:])
        x = x.flatten(0, 1)
        for block in self._blocks()[self.config.merge_after :]:
            x = block(x, rotation)
        return ModelOutput(None, None, rearrange(self.image_head(x), "(b n) t p -> b n t p", b=batch))

    def embed(self, images: Float[Tensor, "b i s s"]) -> ImageFeatures:
        """The images themselves: this form encodes images together with their targets."""
        return ImageFeatures(images)

    def encode(
        self, features: ImageFeatures, targets: Float[Tensor, "b n 1 s s"], target_type: TargetType
    ) -> PromptState:
        """Keys and values of the prompts in every block after the merge; each prompt attends to those before it."""
        batch, panels = targets.shape[:2]
        images = rearrange(features.images, "(b n) i h w -> b n i h w", b=batch)
        grid = (images.shape[-2] // self.patch, images.shape[-1] // self.patch)
        x, _ = self.panels(
            images, targets, torch.ones(batch, panels, *grid, dtype=torch.bool, device=images.device), None
        )
        rotation = self.positions.rotation(*grid)
        keys, values = [], []
        for block in self._blocks()[self.config.merge_after :]:
            _, k, v = block.attention.project(block.norm1(x.flatten(0, 1)), rotation)
            keys.append(rearrange(k, "(b n) h t e -> b h (n t) e", b=batch))
            values.append(rearrange(v, "(b n) h t e -> b h (n t) 1 e", b=batch))
            x = self._step(block, x, rotation, panels, "causal", panels)
        return PromptState(tuple(keys), tuple(values))

    def answer(self, features: ImageFeatures, prompts: PromptState, target_type: TargetType) -> ModelOutput:
        """Predict queries from encoded prompts: each query costs one panel, whatever the number of prompts."""
        query = features.images
        prompts = prompts.expand(len(query))
        grid = (query.shape[-2] // self.patch, query.shape[-1] // self.patch)
        hidden = torch.zeros(len(query), 1, *grid, dtype=torch.bool, device=query.device)
        no_target = torch.zeros_like(query[:, None, :1])
        panel, fine = self.panels(query[:, None], no_target, hidden, None)
        x, rotation, levels = panel[:, 0], self.positions.rotation(*grid), []
        for index, block in enumerate(self._blocks(), start=1):
            if index > self.config.merge_after:
                q, k, v = block.attention.project(block.norm1(x), rotation)
                at = index - self.config.merge_after - 1
                keys = torch.cat([prompts.keys[at].to(k.dtype), k], dim=2)
                values = torch.cat([prompts.values[at][:, :, :, 0].to(v.dtype), v], dim=2)
                x = block.finish(x, block.attention.attend(q, keys, values))
            if index in self.config.levels:
                levels.append(x)
        painted = self.decode(levels, fine, query)
        return ModelOutput(None, painted, None)
