"""The regression gives what least squares with shrinkage gives, and its sums add up."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from mvg.model.outputs import RidgeStatistics, TargetType
from mvg.model.ridge import Ridge, cell_weights
from mvg.model.voids import void_filling


def request(cells: int = 60, channels: int = 2, shades: bool = False) -> tuple[Ridge, Tensor, Tensor]:
    """A regression of 4 learned features, features (1, cells, 181) and targets (1, channels, 4, 4 * cells)."""
    rng = torch.Generator().manual_seed(0)
    ridge = Ridge(4)
    features = torch.randn(1, cells, ridge.width, generator=rng)
    features[..., -1] = 1
    targets = torch.rand(1, channels, 4, 4 * cells, generator=rng)
    targets = targets if shades else (targets > 0.6).float()
    return ridge, features, targets


def predicted(ridge: Ridge, statistics: RidgeStatistics, features: Tensor, target_type: TargetType) -> Tensor:
    """The prediction for every cell (b, two, c, m, 16), plain and scaled."""
    return ridge.predict(ridge.solve(statistics, target_type), features)


def as_cells(targets: Tensor) -> Tensor:
    """(1, c, 4, 4 * cells) -> (cells, 16) of the first channel."""
    return torch.stack([cell.flatten() for cell in targets[0, 0].split(4, dim=-1)])


def test_the_answer_is_that_of_least_squares_with_shrinkage_towards_a_line_of_the_filled_image() -> None:
    types: tuple[TargetType, ...] = ("labels", "image")
    for row, target_type in enumerate(types):
        ridge, features, targets = request() if target_type == "labels" else request(3000, shades=True)
        with torch.no_grad():
            prediction = predicted(ridge, ridge.statistics(features, targets), features, target_type)[:, 0, 0]
            shrink = (len(features[0]) * ridge.log_ridge_penalty[row].exp()).sqrt().diag().double()
        pixels, truth = features[0].double(), as_cells(targets).double()
        filled = (pixels[:, -49:-33] + pixels[:, -17:-1]) / 4
        line = np.polyfit(filled.flatten(), truth.flatten(), 1)
        towards = torch.zeros(ridge.width, 16, dtype=torch.float64)
        towards[-49:-33] = towards[-17:-1] = torch.eye(16) * line[0] / 4
        towards[-1] = line[1]
        # Shrinkage as further samples: features of that size whose target is what the line says.
        left, right = torch.cat([pixels, shrink]), torch.cat([truth, shrink @ towards])
        solution = torch.linalg.lstsq(left, right).solution
        torch.testing.assert_close(prediction[0].double(), pixels @ solution, atol=1e-3, rtol=1e-3)


def test_pictures_shrink_more_than_labels_do() -> None:
    ridge, features, targets = request()
    sums = ridge.statistics(features, targets)
    types: tuple[TargetType, ...] = ("labels", "image")
    with torch.no_grad():
        ridge.log_ridge_penalty[2] = ridge.log_ridge_penalty[1]  # the flexible solution must not help pictures here
        prediction = [predicted(ridge, sums, features, target_type)[0, 0, 0] for target_type in types]
    errors = [float((cells - as_cells(targets)).square().mean()) for cells in prediction]
    assert errors[0] < 0.8 * errors[1]


def test_scaled_predictions_are_about_one_inside_and_minus_one_outside() -> None:
    ridge, features, targets = request(600)  # too many cells to fit them exactly
    with torch.no_grad():
        scaled = predicted(ridge, ridge.statistics(features, targets), features, "labels")[0, 1, 0]
    inside = as_cells(targets) > 0
    assert abs(float(scaled[inside].mean()) - 1) < 0.2
    assert abs(float(scaled[~inside].mean()) + 1) < 0.2


def test_sums_of_parts_add_up_and_cells_without_weight_do_not_count() -> None:
    ridge, features, targets = request()
    whole = ridge.statistics(features, targets)
    parts = [ridge.statistics(features[:, chosen], targets[..., 4 * chosen.start : 4 * chosen.stop]) for chosen in
             (slice(0, 20), slice(20, 60))]  # fmt: skip
    weight = (torch.arange(60) < 20).float()[None]
    weighted = ridge.statistics(features, targets, weight)
    for name in RidgeStatistics._fields:
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
        torch.testing.assert_close(getattr(weighted, name), getattr(parts[0], name))


def test_a_target_may_be_bright_where_its_image_is_gray_and_dark_where_it_is_bright() -> None:
    rng = torch.Generator().manual_seed(0)
    ridge = Ridge(4)
    prompt, query = torch.rand(2, 1, 64, 64, generator=rng).unsqueeze(1)
    truth = [(picture - 0.5).abs().mul(2 * torch.pi).cos() / 2 + 0.5 for picture in (prompt, query)]

    def described(picture: Tensor) -> Tensor:
        return ridge.features(torch.zeros(1, 4, 16, 16), picture, void_filling(picture))

    with torch.no_grad():
        sums = ridge.statistics(described(prompt), truth[0])
        prediction = predicted(ridge, sums, described(query), "image")[:, 0, 0]
    picture = rearrange(prediction, "b (h w) (i j) -> b 1 (h i) (w j)", h=16, i=4)
    assert (picture - truth[1]).abs().mean() < 0.35 * (truth[1] - truth[1].mean()).abs().mean()


def test_no_prompts_at_all_say_nothing() -> None:
    ridge, features, targets = request()
    sums = ridge.statistics(features, targets)
    prediction = predicted(ridge, RidgeStatistics(*(0 * part for part in sums)), features, "labels")
    assert prediction.isfinite().all()
    assert (prediction[:, 0] == 0).all()


def test_features_learn_through_the_solution() -> None:
    ridge, features, targets = request()
    features.requires_grad_()
    predicted(ridge, ridge.statistics(features, targets), features, "labels")[:, 0].square().mean().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() > 0
    assert ridge.log_ridge_penalty.grad is not None


def test_cells_count_more_where_a_picture_asks_for_a_change() -> None:
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(0.1, 0.9)
    targets = images.clone()
    targets[0, 0, 8:12, 8:12] += 0.5
    everywhere = torch.ones(2, 64)
    weight = cell_weights(images, targets, everywhere, "image")
    changed = 2 * 8 + 2
    others = torch.arange(64) != changed
    torch.testing.assert_close(weight.mean(1)[0], torch.tensor(1.0), atol=2e-3, rtol=0)
    assert weight[0, changed] > 5 * weight[0, others].max()
    assert weight[0, others].min() > 0.8
    torch.testing.assert_close(weight[1], weight[1, :1].expand(64))
    half = everywhere * (torch.arange(64) < 32)
    assert (cell_weights(images, targets, half, "image")[:, 32:] == 0).all()
    labels = (images > 0.5).float()
    assert torch.equal(cell_weights(images, labels, half, "labels"), half)
