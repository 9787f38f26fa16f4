"""The named sizes, and the values that a config must have."""

import pytest
import torch

from mvg.model.config import SIZES, GeneralistConfig, MatchingConfig, MergedConfig, config_class, config_fields
from mvg.model.generalist import Generalist
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


def test_a_config_returns_from_plain_values() -> None:
    for config in SIZES.values():
        plain = config.as_dict()
        form = config_class(plain)
        assert form is not None
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        assert form(**config_fields(values, form)) == config


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Generalist(MatchingConfig(width=30, heads=3))
    with pytest.raises(ValueError, match="image encoder needs a multiple of 8"):
        Generalist(MatchingConfig(patch=12))
    with pytest.raises(ValueError, match="stem needs a multiple of 4"):
        Generalist(MergedConfig(patch=6))
    with pytest.raises(ValueError, match="fine map"):
        Generalist(MergedConfig(stem="linear"))
