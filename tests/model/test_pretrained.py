"""Features of photographs: the architecture, taking over weights, frozen in training, a start that changes little."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mvg.errors import WeightsError
from mvg.model.config import MatchingConfig
from mvg.model.generalist import Generalist
from mvg.model.layers import reduce_precision
from mvg.model.matching import MatchingForm
from mvg.model.pretrained import PretrainedFeatures, Trunk
from mvg.model.weights import load_weights, save_weights
from mvg.model.widening import read_trunk, with_pretrained
from tests.model.small import SHAPES, drawn, network

COLORS = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def color_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights of EfficientNet-lite0 under the names of its package: color pictures, batch norms apart."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def convolution(name: str, norm: str, layer: nn.Conv2d, inputs: int) -> None:
        shape = (layer.out_channels, inputs, *layer.kernel_size)
        state[f"{name}.weight"] = torch.randn(shape, generator=draw) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        for part, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            state[f"{norm}.{part}"] = low + torch.rand(layer.out_channels, generator=draw)

    trunk = Trunk()
    convolution("_conv_stem", "_bn0", trunk.stem.layer, 3)
    for number, block in enumerate(block for stage in trunk.stages for block in stage):  # type: ignore[attr-defined]
        prefix = f"_blocks.{number}."
        for name, norm, part in (
            ("_expand_conv", "_bn0", block.expand),
            ("_depthwise_conv", "_bn1", block.depthwise),
            ("_project_conv", "_bn2", block.project),
        ):
            if part is not None:
                convolution(prefix + name, prefix + norm, part.layer, part.layer.in_channels // part.layer.groups)
    return state


def batch_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return nn.functional.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)


def test_gray_stem_with_folded_norm_is_the_color_stem_on_gray_pictures() -> None:
    state, trunk = color_state(), Trunk()
    trunk.load(state)
    gray = torch.rand(2, 1, 16, 16)
    mean, spread = (part.view(1, 3, 1, 1) for part in COLORS)
    padded = nn.functional.pad((gray - mean) / spread, (0, 1, 0, 1))
    expected = batch_norm(nn.functional.conv2d(padded, state["_conv_stem.weight"], stride=2), state, "_bn0")
    gray_maps = trunk.stem(gray)
    assert torch.allclose(gray_maps[..., :-1, :-1], expected[..., :-1, :-1], atol=1e-4)  # borders are padded otherwise


def test_block_with_folded_norms_is_the_block_with_norms() -> None:
    state, trunk = color_state(), Trunk()
    trunk.load(state)
    block, x = trunk.stages[1][1], torch.randn(1, 24, 8, 8)  # type: ignore[index]
    prefix = "_blocks.2."
    inner = nn.functional.relu6(
        batch_norm(nn.functional.conv2d(x, state[f"{prefix}_expand_conv.weight"]), state, f"{prefix}_bn0")
    )
    depthwise = nn.functional.conv2d(inner, state[f"{prefix}_depthwise_conv.weight"], padding=1, groups=len(inner[0]))
    inner = nn.functional.relu6(batch_norm(depthwise, state, f"{prefix}_bn1"))
    projected = nn.functional.conv2d(inner, state[f"{prefix}_project_conv.weight"])
    assert torch.allclose(block(x), x + batch_norm(projected, state, f"{prefix}_bn2"), atol=1e-4)


@pytest.mark.parametrize("size", [32, 48])
def test_maps_have_a_quarter_and_an_eighth_of_the_resolution(size: int) -> None:
    fine, level = PretrainedFeatures(8, 16)(torch.rand(2, 2, size, size))
    assert fine.shape == (2, 8, size // 4, size // 4)
    assert level.shape == (2, 16, size // 8, size // 8)
    assert not level.any()


def test_gradients_reach_the_projections_and_not_the_trunk() -> None:
    features = PretrainedFeatures(8, 16)
    fine, level = features(torch.rand(1, 1, 32, 32))
    (fine.sum() + level.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in features.trunk.parameters())
    assert features.from_eighth.weight.grad is not None
    assert features.to_level.weight.grad is not None


@pytest.mark.parametrize("reduce", [False, True])
@torch.inference_mode()
def test_first_maps_are_those_of_the_enlarged_pictures_up_to_the_border(reduce: bool) -> None:
    trunk = Trunk()
    trunk.load(color_state())
    trunk.bfloat16().float()  # as weights ship
    pictures = torch.rand(2, 1, 24, 32)
    enlarged = nn.functional.interpolate(pictures, scale_factor=2, mode="bilinear")
    expected = nn.functional.relu6(trunk.stem(enlarged))
    if reduce:
        reduce_precision(trunk)
    maps = trunk._first_maps(pictures)
    rounding = 2**-8 * expected + 1e-3 if reduce else torch.full_like(expected, 1e-5)
    assert ((maps - expected).abs() <= rounding).all()


@pytest.mark.parametrize("reduce", [False, True])
@torch.inference_mode()
def test_maps_lie_in_memory_as_convolutions_are_fast(reduce: bool) -> None:
    trunk = Trunk()
    if reduce:
        reduce_precision(trunk)
    assert all(part.is_contiguous(memory_format=torch.channels_last) for part in trunk(torch.rand(2, 1, 32, 32)))


@torch.inference_mode()
def test_trunk_in_16_bits_is_near_that_in_32() -> None:
    trunk = Trunk()
    trunk.load(color_state())
    pictures = torch.rand(1, 1, 64, 64)
    exact = trunk(pictures)[-1]
    reduce_precision(trunk)
    reduced = trunk(pictures)[-1]
    assert reduced.dtype == torch.bfloat16
    assert 0 < (reduced.float() - exact).norm() < 0.1 * exact.norm()


def answer(model: Generalist, images: Tensor, targets: Tensor) -> Tensor:
    with torch.inference_mode():
        prompts = model.encode(model.embed(images[0, :-1]), targets[:, :-1], "labels")
        return model.answer(model.embed(images[:, -1]), prompts, "labels")


def request() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    images = torch.rand(1, 4, 1, 32, 32, generator=draw)
    return images, (torch.rand(1, 4, 2, 32, 32, generator=draw) > 0.5).float()


def test_widened_network_sees_the_new_features_in_the_regression_alone() -> None:
    model = network("matching")
    images, targets = request()
    wide = with_pretrained(model, color_state(), torch.rand(8, 1, 32, 32), 6)
    assert wide.config == replace(model.config, pretrained=6)  # type: ignore[call-arg]
    assert not torch.allclose(answer(wide, images, targets), answer(model, images, targets), atol=1e-3)
    with torch.no_grad():
        assert isinstance(wide.form, MatchingForm)
        wide.form.ridge.log_ridge_penalty[:, model.config.fine : model.config.fine + 6] = 25.0
    assert torch.allclose(answer(wide, images, targets), answer(model, images, targets), atol=1e-3)


def test_channels_are_the_main_components_of_the_standardized_maps() -> None:
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    wide = with_pretrained(network("matching"), color_state(), images, 4)
    assert isinstance(wide.form, MatchingForm)
    features = wide.form.image_encoder.photographs
    assert features is not None
    with torch.no_grad():
        cells = features(images)[0].movedim(1, -1).flatten(0, -2)
    covariance = torch.cov(cells.T)
    assert torch.allclose(covariance, covariance.diag().diag(), atol=0.02 * float(covariance.diag().max()))
    assert cells.mean(0).abs().max() < 0.1 * cells.std(0).max()
    assert (covariance.diag().diff() <= 0.01).all()


def test_widened_weights_are_saved_and_loaded(tmp_path: Path) -> None:
    wide = drawn(with_pretrained(network("matching"), color_state(), torch.rand(4, 1, 32, 32), 6))
    save_weights(wide, tmp_path / "wide", "# Wide")
    images, targets = request()
    loaded = load_weights(tmp_path / "wide")
    assert loaded.config == wide.config
    assert torch.allclose(answer(loaded, images, targets), answer(wide, images, targets), atol=0.2)


def test_networks_that_cannot_have_the_features_are_refused() -> None:
    images = torch.rand(4, 1, 32, 32)
    with pytest.raises(WeightsError, match="merged form"):
        with_pretrained(network("merged"), color_state(), images, 4)
    shape = SHAPES["matching"]
    assert isinstance(shape, MatchingConfig)
    with pytest.raises(WeightsError, match="already"):
        with_pretrained(Generalist(replace(shape, pretrained=4)), color_state(), images, 4)


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    state = color_state()
    del state["_blocks.3._bn2.bias"]
    with pytest.raises(WeightsError, match="another network"):
        with_pretrained(network("matching"), state, torch.rand(4, 1, 32, 32), 4)
    file = tmp_path / "trunk.pth"
    file.write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_trunk(file)
    torch.save([1, 2], file)
    with pytest.raises(WeightsError, match="no table"):
        read_trunk(file)
    torch.save(state, file)
    assert set(read_trunk(file)) == set(state)
