"""The shapes of a network: one frozen config per form, the named sizes, and the rules that a config must fulfil."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

HEAD_WIDTH = 32
"""Width of an attention head of the matching form outside of its image encoder."""

_MOST_WIDTH, _MOST_DEPTH = 16384, 512

Rule = tuple[bool, str, str]
"""Whether it holds; what was found and what was expected, for an error."""


@dataclass(frozen=True)
class MatchingConfig:
    """The shape of the matching form, which compares images and carries targets along the matches.

    size: side of the pictures that it is trained on, in pixels; patch: side of a patch; inputs: images per pair.
    width, depth, heads: of the transformer over patches; fine: width at a quarter of the resolution; drop_path:
    stochastic depth. target_width, target_depth: of the target encoder; decoder_width, decoder_depth: of the decoder.
    paint: all classes of a segmentation are one painted picture instead of a channel each. pretrained: channels at a
    quarter of the resolution that come from a network for photographs (0: it is not used).
    """

    form: ClassVar[Literal["matching"]] = "matching"
    size: int = 128
    patch: int = 16
    width: int = 256
    depth: int = 4
    heads: int = 4
    fine: int = 64
    drop_path: float = 0.0
    target_width: int = 96
    target_depth: int = 1
    decoder_width: int = 96
    decoder_depth: int = 2
    paint: bool = False
    inputs: int = 1
    pretrained: int = 0

    @property
    def fine_width(self) -> int:
        """Channels of an image's map at a quarter of the resolution: learned ones, and those of photographs."""
        return self.fine + self.pretrained

    @property
    def paints(self) -> bool:
        """Whether the labels of a segmentation are one painted picture; else each class has a channel."""
        return self.paint

    @property
    def independent_prompts(self) -> bool:
        """Whether prompts can be encoded one by one and concatenated, in any order."""
        return True

    def rules(self) -> list[Rule]:
        """What must hold for the network to be built and to learn."""
        target = self.target_width >= HEAD_WIDTH and self.target_width % HEAD_WIDTH == 0
        return [
            *_shared_rules(self, cell=8, fine=4),
            (target, f"model.target_width = {self.target_width}", f"a multiple of {HEAD_WIDTH}"),
            (self.pretrained >= 0, f"model.pretrained = {self.pretrained}", "at least 0"),
            (self.decoder_width >= 1, f"model.decoder_width = {self.decoder_width}", "at least 1"),
        ]

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a file."""
        return {"form": self.form, **asdict(self)}


@dataclass(frozen=True)
class MergedConfig:
    """The shape of the merged form, the paper's: a plain vision transformer over pairs.

    size, patch, inputs, width, depth, heads, fine, drop_path: as in `MatchingConfig`. levels: the blocks whose tokens
    the head reads; merge_after: blocks before image and target tokens are averaged (both count blocks from 1).
    stem, head: "linear" and "paper" are the paper's; "convolution" and "query" also see a finer map of the image.
    """

    form: ClassVar[Literal["merged"]] = "merged"
    size: int = 128
    patch: int = 16
    width: int = 256
    depth: int = 4
    heads: int = 4
    fine: int = 64
    levels: tuple[int, ...] = (2, 4)
    drop_path: float = 0.0
    merge_after: int = 3
    stem: Literal["linear", "convolution"] = "convolution"
    head: Literal["paper", "query"] = "query"
    inputs: int = 1

    @property
    def paints(self) -> bool:
        """Whether the labels of a segmentation are one painted picture: always, as in the paper."""
        return True

    @property
    def independent_prompts(self) -> bool:
        """Whether prompts can be encoded one by one and concatenated: no, each attends to those before it."""
        return False

    def rules(self) -> list[Rule]:
        """What must hold for the network to be built and to learn."""
        levels, last = self.levels, max(self.levels, default=0)
        rising = bool(levels) and set(levels) <= set(range(1, self.depth + 1)) and sorted(set(levels)) == [*levels]
        cell = 1 if self.stem == "linear" else 4
        return [
            *_shared_rules(self, cell=cell, fine=1),
            (rising, f"model.levels = {levels}", f"rising numbers of blocks, 1 to {self.depth}"),
            (
                0 <= self.merge_after < last,
                f"model.merge_after = {self.merge_after} with model.levels = {levels}",
                "at least 0 and less than the last level, or the head never sees the prompts",
            ),
            (
                self.stem == "convolution" or self.head == "paper",
                "model.stem = 'linear' with model.head = 'query'",
                "head 'paper', or stem 'convolution'",
            ),
        ]

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a file."""
        return {"form": self.form, **asdict(self), "levels": list(self.levels)}


GeneralistConfig = MatchingConfig | MergedConfig
FORMS: dict[str, type[MatchingConfig] | type[MergedConfig]] = {"matching": MatchingConfig, "merged": MergedConfig}

SIZES: dict[str, GeneralistConfig] = {
    "tiny": MatchingConfig(),
    "small": MatchingConfig(
        size=192, width=512, depth=8, heads=8, fine=128, drop_path=0.05,
        target_width=192, target_depth=2, decoder_width=192, decoder_depth=3,
    ),
    "large": MergedConfig(
        size=448, patch=16, width=1024, depth=24, heads=16, fine=48,
        levels=(6, 12, 18, 24), drop_path=0.1, stem="linear", head="paper",
    ),
}  # fmt: skip
"""Named sizes. `tiny` runs on a laptop's CPU; `large` is the paper's ViT-L/16 at 448 pixels."""


def config_class(values: Mapping[str, Any]) -> type[MatchingConfig] | type[MergedConfig] | None:
    """The config class of plain values by their "form" ("matching" where it is missing); None for an unknown form."""
    form = values.get("form", "matching")
    return FORMS.get(form) if isinstance(form, str) else None


def config_fields(values: Mapping[str, Any], form: type[MatchingConfig] | type[MergedConfig]) -> dict[str, Any]:
    """The values without "form" and without fields that only the other form has: older files hold the fields of both.

    Unknown keys stay, for the caller to report.
    """
    known, every = ({field.name for field in fields(config)} for config in (form, MatchingConfig))
    every |= {field.name for field in fields(MergedConfig)}
    return {key: value for key, value in values.items() if key in known or key not in every | {"form"}}


def config_rules(config: GeneralistConfig, sides: tuple[int, ...] = ()) -> list[Rule]:
    """The rules of a network, also for further sides of pictures (pixels)."""
    rules = config.rules()
    for side in (config.size, *sides) if config.patch >= 1 else ():
        fits = side >= 1 and side % config.patch == 0
        rules.append((fits, f"a picture side of {side}", f"a multiple of {config.patch}"))
    return rules


def _shared_rules(config: GeneralistConfig, cell: int, fine: int) -> list[Rule]:
    heads = config.heads >= 1 and config.width >= 1 and config.width % (4 * config.heads) == 0
    return [
        (heads, f"model.width = {config.width} for {config.heads} heads", "a multiple of 4 for each head"),
        (config.patch >= cell and config.patch % cell == 0, f"model.patch = {config.patch}", f"a multiple of {cell}"),
        (config.fine >= fine, f"model.fine = {config.fine}", f"at least {fine}"),
        (0 <= config.drop_path < 1, f"model.drop_path = {config.drop_path}", "a share in [0, 1)"),
        (config.inputs >= 1, f"model.inputs = {config.inputs}", "at least 1"),
        *_largest(config),
    ]


def _largest(config: GeneralistConfig) -> list[Rule]:
    """Sizes that no network has: building one would take all time or memory before it is refused."""
    sizes = {name: value for name, value in asdict(config).items() if isinstance(value, int)}
    depths = {name: value for name, value in sizes.items() if name.endswith("depth")}
    return [
        *(
            (abs(value) <= _MOST_WIDTH, f"model.{name} = {value}", f"at most {_MOST_WIDTH}")
            for name, value in sizes.items()
        ),
        *(
            (value <= _MOST_DEPTH, f"model.{name} = {value}", f"at most {_MOST_DEPTH}")
            for name, value in depths.items()
        ),
    ]
