"""The named sizes, and the values that a config must have."""

from dataclasses import replace

import pytest
import torch

from mvg.model.generalist import SIZES, Generalist, GeneralistConfig
from mvg.model.merged import MergedForm


def count(config: GeneralistConfig) -> int:
    with torch.device("meta"):
        model = Generalist(config)
    return sum(weight.numel() for weight in model.parameters())


def test_large_is_the_vit_l_16_of_the_paper() -> None:
    config = SIZES["large"]
    with torch.device("meta"):
        form = Generalist(config).form
    assert isinstance(form, MergedForm)
    trunk = sum(weight.numel() for weight in form.blocks.parameters())
    assert trunk == 302_309_376  # 24 blocks of width 1024
    assert (config.size, config.patch, config.heads, config.merge_after, len(config.levels)) == (448, 16, 16, 3, 4)


def test_sizes_grow_and_tiny_fits_into_the_package() -> None:
    counts = [count(config) for config in SIZES.values()]
    assert counts == sorted(counts)
    assert 2 * counts[0] < 25e6, "in bytes, as bfloat16"


def test_a_config_is_told_as_plain_values() -> None:
    for config in SIZES.values():
        plain = config.as_dict()
        assert GeneralistConfig(**{**plain, "levels": tuple(plain["levels"])}) == config


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Generalist(replace(SIZES["tiny"], width=30, heads=3))
    with pytest.raises(ValueError, match="image stream needs a multiple of 8"):
        Generalist(replace(SIZES["tiny"], patch=12))
    with pytest.raises(ValueError, match="stem needs a multiple of 4"):
        Generalist(replace(SIZES["tiny"], form="merged", patch=6))
    with pytest.raises(ValueError, match="fine map"):
        Generalist(replace(SIZES["tiny"], form="merged", stem="linear"))
