"""The regression gives what least squares with shrinkage gives, and its sums add up."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from mvg.model.outputs import TargetType
from mvg.model.ridge import Ridge, Sums, cell_weights, hat_basis, pixel_features


def request(cells: int = 60, channels: int = 2, shades: bool = False) -> tuple[Ridge, Tensor, Tensor]:
    """A regression of 4 learned features, features (1, cells, 181) and targets (1, channels, 4, 4 * cells)."""
    rng = torch.Generator().manual_seed(0)
    ridge = Ridge(4)
    features = torch.randn(1, cells, ridge.features, generator=rng)
    features[..., -1] = 1
    targets = torch.rand(1, channels, 4, 4 * cells, generator=rng)
    targets = targets if shades else (targets > 0.6).float()
    return ridge, features, targets


def as_cells(targets: Tensor) -> Tensor:
    """(1, c, 4, 4 * cells) -> (cells, 16) of the first channel."""
    return torch.stack([cell.flatten() for cell in targets[0, 0].split(4, dim=-1)])


def test_the_answer_is_that_of_least_squares_with_shrinkage_towards_a_line_of_the_filled_image() -> None:
    types: tuple[TargetType, ...] = ("labels", "image")
    for row, target_type in enumerate(types):
        ridge, features, targets = request() if target_type == "labels" else request(3000, shades=True)
        with torch.no_grad():
            said = ridge.predict(ridge.sums(features, targets), features, target_type)[:, 0, 0]
            shrink = (len(features[0]) * ridge.shrink[row].exp()).sqrt().diag().double()
        pixels, wanted = features[0].double(), as_cells(targets).double()
        filled = (pixels[:, -49:-33] + pixels[:, -17:-1]) / 4
        line = np.polyfit(filled.flatten(), wanted.flatten(), 1)
        towards = torch.zeros(ridge.features, 16, dtype=torch.float64)
        towards[-49:-33] = towards[-17:-1] = torch.eye(16) * line[0] / 4
        towards[-1] = line[1]
        # Shrinkage as further samples: features of that size whose target is what the line says.
        left, right = torch.cat([pixels, shrink]), torch.cat([wanted, shrink @ towards])
        solution = torch.linalg.lstsq(left, right).solution
        torch.testing.assert_close(said[0].double(), pixels @ solution, atol=1e-3, rtol=1e-3)


def test_pictures_shrink_more_than_labels_do() -> None:
    ridge, features, targets = request()
    sums = ridge.sums(features, targets)
    types: tuple[TargetType, ...] = ("labels", "image")
    with torch.no_grad():
        ridge.shrink[2] = ridge.shrink[1]  # the flexible solution must not help pictures here
        said = [ridge.predict(sums, features, target_type)[0, 0, 0] for target_type in types]
    misses = [float((one - as_cells(targets)).square().mean()) for one in said]
    assert misses[0] < 0.8 * misses[1]


def test_scaled_answers_lie_about_one_inside_and_minus_one_outside() -> None:
    ridge, features, targets = request()
    with torch.no_grad():
        scaled = ridge.predict(ridge.sums(features, targets), features, "labels")[0, 1, 0]
    inside = as_cells(targets) > 0
    assert abs(float(scaled[inside].mean()) - 1) < 0.2
    assert abs(float(scaled[~inside].mean()) + 1) < 0.2


def test_sums_of_parts_add_up_and_cells_without_weight_do_not_count() -> None:
    ridge, features, targets = request()
    whole = ridge.sums(features, targets)
    parts = [ridge.sums(features[:, some], targets[..., 4 * some.start : 4 * some.stop]) for some in
             (slice(0, 20), slice(20, 60))]  # fmt: skip
    weight = (torch.arange(60) < 20).float()[None]
    weighted = ridge.sums(features, targets, weight)
    for name in Sums._fields:
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), getattr(whole, name))
        torch.testing.assert_close(getattr(weighted, name), getattr(parts[0], name))


def test_a_target_may_be_bright_where_its_image_is_gray_and_dark_where_it_is_bright() -> None:
    rng = torch.Generator().manual_seed(0)
    ridge = Ridge(4)
    prompt, query = torch.rand(2, 1, 64, 64, generator=rng).unsqueeze(1)
    wanted = [(picture - 0.5).abs().mul(2 * torch.pi).cos() / 2 + 0.5 for picture in (prompt, query)]
    unlearned = torch.zeros(1, 4, 16, 16)
    with torch.no_grad():
        sums = ridge.sums(ridge.describe(unlearned, prompt), wanted[0])
        said = ridge.predict(sums, ridge.describe(unlearned, query), "image")[:, 0, 0]
    found = rearrange(said, "b (h w) (i j) -> b 1 (h i) (w j)", h=16, i=4)
    assert (found - wanted[1]).abs().mean() < 0.35 * (wanted[1] - wanted[1].mean()).abs().mean()


def test_hats_share_a_pixel_between_the_two_brightnesses_about_it() -> None:
    shares = hat_basis(torch.tensor([0.0, 0.1, 0.5, 1.0]).view(1, 1, 2, 2))[0].flatten(1)
    torch.testing.assert_close(shares.sum(0), torch.ones(4))
    torch.testing.assert_close(shares[:, 1], torch.tensor([0.3, 0.7, 0, 0, 0, 0, 0, 0]))
    assert (shares > 0).sum(0).tolist() == [1, 2, 2, 1]


def test_no_prompts_at_all_say_nothing() -> None:
    ridge, features, targets = request()
    sums = ridge.sums(features, targets)
    said = ridge.predict(Sums(*(0 * part for part in sums)), features, "labels")
    assert said.isfinite().all()
    assert (said[:, 0] == 0).all()


def test_features_learn_through_the_solution() -> None:
    ridge, features, targets = request()
    features.requires_grad_()
    ridge.predict(ridge.sums(features, targets), features, "labels")[:, 0].square().mean().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() > 0
    assert ridge.shrink.grad is not None


def test_a_void_is_filled_from_one_edge_to_the_other_and_the_black_around_a_body_is_not() -> None:
    ramp = torch.linspace(0.3, 0.9, 64).expand(64, 64)
    body = torch.zeros(64, 64)
    body[8:56, 8:56] = 1
    whole = (ramp * body)[None, None]
    pictures = whole.clone()
    pictures[..., 24:40, 24:40] = 0
    pictures[..., 12, 50] = 0  # a speck
    itself, near, change = pixel_features(pictures)[0]
    torch.testing.assert_close(itself, pictures[0, 0] - 0.5)
    filled = (pictures[0, 0] + change)[24:40, 24:40]
    assert (filled - whole[0, 0, 24:40, 24:40]).abs().max() < 0.1
    assert filled[:, -1].mean() - filled[:, 0].mean() > 0.07, "not one mean everywhere"
    change[22:42, 22:42] = 0
    assert (change == 0).all(), "neither the black around the body nor a speck is a void"
    assert -0.4 < float(near[32, 24]) < -0.1, "its rim is smooth"


def test_a_void_that_reaches_the_edge_of_a_body_is_filled_too_and_a_wide_bay_is_not() -> None:
    pictures = torch.zeros(1, 1, 128, 128)
    pictures[..., 16:112, 16:112] = 0.6
    pictures[..., 40:54, 100:112] = 0  # open to the right, narrow
    pictures[..., 64:104, 80:112] = 0  # open to the right, wide
    change = pixel_features(pictures)[0, 2]
    assert (pictures[0, 0] + change)[41:53, 101:109].min() > 0.4
    assert (change[72:96, 90:] == 0).all()
    assert (change[:, 116:] == 0).all()
    assert (change[:12] == 0).all()


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
