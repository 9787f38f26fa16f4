"""The matching form: images are compared with images, and targets travel along the matches.

An image stream that never sees a target turns every picture into features at several depths. A query's patch finds the
prompts' patches that look like it (attention whose queries and keys come from the image stream) and collects their
targets. All classes and tasks of a study share the image features *and* the attention weights; each target channel
(one per class, or one picture) travels and is decoded on its own, by the same layers.
After Visual Token Matching (Kim et al. 2023).
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.answer import Answer, Prompts
from mvg.model.mixing import mix
from mvg.model.transformer import Block, ConvStem, FineHead, Positions, patches, unit

HEAD = 32
"""Width of an attention head outside the image stream."""
SHARP = 4.0
"""Class logits are this many times what the head says, so that a sure answer takes no large weights."""


@dataclass(frozen=True)
class Features:
    """What the image stream says of each picture.

    levels: (b, depths, t, d) tokens after the chosen blocks; fine: (b, f, s/4, s/4).
    """

    levels: Float[Tensor, "b l t d"]
    fine: Float[Tensor, "b f h w"]


class ImageStream(nn.Module):
    """A convolutional stem and a plain vision transformer over one picture at a time."""

    def __init__(
        self, width: int, depth: int, heads: int, patch: int, fine: int, levels: tuple[int, ...], drop: float
    ) -> None:
        super().__init__()
        self.patch, self.level_blocks = patch, levels
        self.stem = ConvStem(1, fine, width, patch)
        self.positions = Positions(width, width // heads)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, heads, drop_path=drop * i / max(depth - 1, 1)) for i in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in levels)

    def forward(self, pictures: Float[Tensor, "b 1 s s"], visible: Bool[Tensor, "b h w"] | None = None) -> Features:
        """Patches that are not visible are blanked before the stem and stand as the mask token."""
        rows, columns = pictures.shape[-2] // self.patch, pictures.shape[-1] // self.patch
        if visible is not None:
            pictures = pictures * repeat(visible, "b h w -> b 1 (h p) (w q)", p=self.patch, q=self.patch)
        x, fine = self.stem(pictures - 0.5)
        if visible is not None:
            x = torch.where(rearrange(visible, "b h w -> b (h w) 1"), x, self.mask_token.to(x.dtype))
        x = x + self.positions(rows, columns).to(x.dtype)
        rotation = self.positions.rotation(rows, columns)
        levels: list[Tensor] = []
        for index, block in enumerate(self.blocks, start=1):
            x = block(x, rotation)
            if index in self.level_blocks:
                levels.append(self.norms[len(levels)](x))
        return Features(torch.stack(levels, dim=1), fine)


class TargetStream(nn.Module):
    """Each target channel of each prompt as one token per patch, aware of its own surroundings and of its image."""

    def __init__(self, width: int, depth: int, heads: int, patch: int, image_width: int) -> None:
        super().__init__()
        self.patch = patch
        enter, leave = nn.Linear(patch**2, width), nn.Linear(width, width)
        unit(enter)
        unit(leave, share=1.5)
        self.embed = nn.Sequential(enter, nn.GELU(), leave)
        self.see = nn.Linear(image_width, width)
        unit(self.see, share=0.3)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.positions = Positions(width, width // heads)
        self.blocks = nn.ModuleList(Block(width, heads, expansion=2) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, targets: Float[Tensor, "b c s s"], visible: Bool[Tensor, "b h w"], image: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b c t e"]:
        rows, columns = visible.shape[-2:]
        channels = targets.shape[1]
        x = self.embed(patches(rearrange(targets, "b c h w -> (b c) 1 h w"), self.patch) * 2 - 1)
        seen = repeat(visible, "b h w -> (b c) (h w) 1", c=channels)
        x = torch.where(seen, x, self.mask_token.to(x.dtype))
        x = x + repeat(self.see(image), "b t e -> (b c) t e", c=channels)
        rotation = self.positions.rotation(rows, columns)
        for block in self.blocks:
            x = block(x, rotation)
        carried: Tensor = rearrange(self.norm(x), "(b c) t e -> b c t e", c=channels)
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
        unit(self.value)
        unit(self.out)
        self.null_key = nn.Parameter(torch.zeros(heads, 1, head_width))
        self.null_value = nn.Parameter(torch.zeros(heads, 1, target_width // heads))

        # Queries and keys start alike, and sharp enough to single out a patch among some hundred: matching what looks
        # alike is there from the first step, and only has to be refined.
        unit(self.query, share=1.7)
        self.key.load_state_dict(self.query.state_dict())

    def offer(
        self, image: Float[Tensor, "m t d"], target: Float[Tensor, "m c t w"], batch: int
    ) -> tuple[Float[Tensor, "b h k e"], Float[Tensor, "b h k c v"]]:
        """Keys and values of m = batch * n panels, each request's panels side by side (k = n * t)."""
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
        mixed = mix(q, keys.to(q.dtype), values.to(q.dtype), mask)
        out: Tensor = self.out(rearrange(mixed, "b h t (c v) -> b c t (h v)", c=channels))
        return out


class MatchingForm(nn.Module):
    """Image stream, target stream, matching at several depths, and a decoder per target channel."""

    def __init__(
        self, *, width: int, depth: int, heads: int, patch: int, fine: int, levels: tuple[int, ...],
        target_width: int, target_depth: int, decoder_width: int, decoder_depth: int, drop_path: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patch = patch
        self.images = ImageStream(width, depth, heads, patch, fine, levels, drop_path)
        self.targets = TargetStream(target_width, target_depth, target_width // HEAD, patch, width)
        self.matchings = nn.ModuleList(Matching(width, target_width, target_width // HEAD, HEAD) for _ in levels)
        self.gather = nn.Linear(len(levels) * target_width, decoder_width)
        self.see = nn.Linear(len(levels) * width, decoder_width)
        unit(self.gather)
        unit(self.see, share=0.5)
        self.positions = Positions(decoder_width, HEAD)
        self.blocks = nn.ModuleList(
            Block(decoder_width, decoder_width // HEAD, expansion=2) for _ in range(decoder_depth)
        )
        self.norm = nn.LayerNorm(decoder_width)
        self.head = FineHead(decoder_width, fine, patch, maps=2)
        self.head.start_as_identity(1)
        self.image_head = nn.Linear(width, patch**2)

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
    ) -> Answer:
        """Answer panels `first` and after: from earlier panels (causal), or from every visible patch (full)."""
        batch, panels = images.shape[:2]
        hidden = None if image_visible is None else rearrange(image_visible, "b n h w -> (b n) h w")
        seen = self.images(rearrange(images, "b n 1 h w -> (b n) 1 h w"), hidden)
        levels = rearrange(seen.levels, "(b n) l t d -> l b n t d", b=batch)
        # In causal order nobody reads the last panel's target.
        shown = panels if order == "full" else max(1, panels - 1)
        carried = self.targets(
            rearrange(targets[:, :shown], "b n c h w -> (b n) c h w"),
            rearrange(visible[:, :shown], "b n h w -> (b n) h w"),
            levels[-1, :, :shown].flatten(0, 1),
        )
        collected = []
        for matching, level in zip(self._matchings(), levels, strict=True):
            keys, values = matching.offer(level[:, :shown].flatten(0, 1), carried, batch)
            if order == "full":
                query = rearrange(level[:, first:], "b n t d -> b (n t) d")
                found = matching(query, keys, values, rearrange(visible, "b n h w -> b (n h w)"))
                collected.append(rearrange(found, "b c (n t) w -> b n c t w", n=panels - first))
            else:
                tokens = level.shape[2]
                found_by = [
                    matching(level[:, i], keys[:, :, : i * tokens], values[:, :, : i * tokens])
                    for i in range(first, panels)
                ]
                collected.append(torch.stack(found_by, dim=1))
        chosen = Features(
            rearrange(seen.levels, "(b n) l t d -> b n l t d", b=batch)[:, first:].flatten(0, 1),
            rearrange(seen.fine, "(b n) f h w -> b n f h w", b=batch)[:, first:].flatten(0, 1),
        )
        logits, pictures = self.decode(
            torch.cat(collected, dim=-1).flatten(0, 1), chosen, images[:, first:].flatten(0, 1)
        )
        repainted = None
        if image_visible is not None:
            repainted = rearrange(self.image_head(seen.levels[:, -1]), "(b n) t p -> b n t p", b=batch)
        logits, pictures = (rearrange(maps, "(b n) c h w -> b n c h w", b=batch) for maps in (logits, pictures))
        return Answer(logits, pictures, repainted)

    def repaint(self, images: Float[Tensor, "b n 1 s s"], image_visible: Bool[Tensor, "b n h w"]) -> Answer:
        """Reconstruct hidden image patches, each picture by itself: the task of pretraining."""
        seen = self.images(images.flatten(0, 1), image_visible.flatten(0, 1))
        return Answer(None, None, rearrange(self.image_head(seen.levels[:, -1]), "(b n) t p -> b n t p", b=len(images)))

    def decode(
        self, collected: Float[Tensor, "b c t w"], seen: Features, pictures: Float[Tensor, "b 1 s s"]
    ) -> tuple[Float[Tensor, "b c s s"], Float[Tensor, "b c s s"]]:
        """What was collected per channel -> class logits and picture per channel, at full resolution."""
        channels = collected.shape[1]
        rows, columns = pictures.shape[-2] // self.patch, pictures.shape[-1] // self.patch
        shared = self.see(rearrange(seen.levels, "b l t d -> b t (l d)")) + self.positions(rows, columns)
        x = (self.gather(collected) + shared[:, None]).flatten(0, 1)
        rotation = self.positions.rotation(rows, columns)
        for block in self.blocks:
            x = block(x, rotation)
        skip = repeat(self.head.shared(seen.fine), "b f h w -> (b c) f h w", c=channels)
        maps = self.head(self.norm(x), skip, repeat(pictures, "b 1 h w -> (b c) 1 h w", c=channels))
        logits, painted = rearrange(maps, "(b c) m h w -> m b c h w", c=channels)
        return SHARP * logits, painted

    def encode(self, images: Float[Tensor, "b n 1 s s"], targets: Float[Tensor, "b n c s s"]) -> Prompts:
        """Keys and values of the prompts at every depth; panels do not look at one another."""
        batch = images.shape[0]
        seen = self.images(images.flatten(0, 1))
        visible = torch.ones(len(seen.levels), images.shape[-2] // self.patch, images.shape[-1] // self.patch,
                             dtype=torch.bool, device=images.device)  # fmt: skip
        carried = self.targets(targets.flatten(0, 1), visible, seen.levels[:, -1])
        offered = [
            matching.offer(level, carried, batch)
            for matching, level in zip(self._matchings(), seen.levels.unbind(1), strict=True)
        ]
        keys, values = zip(*offered, strict=True)
        return Prompts(keys, values, images.shape[1])

    def answer(self, query: Float[Tensor, "b 1 s s"], prompts: Prompts) -> Answer:
        """Answer queries from encoded prompts (one set for all of them, or one set each)."""
        seen = self.images(query)
        shared = prompts.keys[0].shape[0] == 1
        collected: list[Tensor] = []
        for matching, level, keys, values in zip(
            self._matchings(), seen.levels.unbind(1), prompts.keys, prompts.values, strict=True
        ):
            # Queries that share their prompts are asked as one long query: the prompts are not copied.
            found = matching(level.flatten(0, 1)[None] if shared else level, keys, values)
            collected.append(rearrange(found, "1 c (b t) w -> b c t w", b=len(query)) if shared else found)
        logits, pictures = self.decode(torch.cat(collected, dim=-1), seen, query)
        return Answer(logits, pictures, None)
