"""Targets from image features in closed form: a ridge regression whose data are the prompts.

Every cell of 4 x 4 pixels of a prompt is a sample: its features (learned ones, and those of its pixels) and its 16
target pixels. The regression needs only sums over the prompts' cells. So prompts simply add up, their number does not
change what a query costs, and all target channels share one factorization. The gradient of a prediction reaches the
features through the solution (R2-D2, Bertinetto et al. 2019): they learn to make every target that prompts may show a
linear one.

What the prompts leave open is predicted by a simpler rule, the baseline: the target pixel as a line of the same image
pixel with voids filled. The weights shrink towards it. Labels and pictures have penalties of their own.
"""

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mvg.model.intensity_basis import HATS, PIXEL_FEATURES, hat_basis, pixel_features
from mvg.model.outputs import RidgeSolution, RidgeStatistics, TargetType

RIDGE_CELL = 4
"""Pixels of a sample's side."""
_PIXELS = RIDGE_CELL**2
_PIXEL_SCALE = 4.0  # gives pixel features the size of the others, so that they shrink as the others do
_IMAGE_PENALTY = 20.0  # initial penalty of pictures, as a multiple of that of labels
_FLEXIBLE_PENALTY = 0.015  # initial penalty of the hats in the flexible solution, as a multiple of the default one
# Share of the default's error: below it the flexible solution is used alone, above it the default.
_FLEXIBLE_BELOW, _DEFAULT_ABOVE = 0.55, 0.7
_CHANGE = 0.1  # a cell of a picture weighs in proportion to 1 + this times its change over the mean change


class Ridge(nn.Module):
    """The regression from `learned` features per cell, those of the pixels of `inputs` images, and a constant.

    log_ridge_penalty: (3, d), the logarithm of each feature's penalty: of labels, of pictures by default, and of
    pictures in the flexible solution, in which a target may be any function of the image's intensity.
    """

    baseline: Tensor

    def __init__(self, learned: int, inputs: int = 1) -> None:
        super().__init__()
        hats, pixels = inputs * HATS * _PIXELS, inputs * PIXEL_FEATURES * _PIXELS
        parts = ((learned, 0.03), (hats, 0.02), (pixels, 0.004), (1, 1e-3))
        self.width, self.pixel_width = sum(count for count, _ in parts), pixels
        labels = torch.cat([torch.full((count,), start) for count, start in parts])
        default = torch.cat([_IMAGE_PENALTY * labels[:-1], labels[-1:]])
        flexible = default.clone()
        flexible[learned : learned + hats] *= _FLEXIBLE_PENALTY
        self.log_ridge_penalty = nn.Parameter(torch.stack([labels, default, flexible]).log())
        self.register_buffer("baseline", _filled_pixel_weights(self.width, inputs), persistent=False)

    def features(
        self, fine: Float[Tensor, "b f h w"], images: Float[Tensor, "b i s s"], filling: Float[Tensor, "b i s s"]
    ) -> Float[Tensor, "b m d"]:
        """The features of every cell, in float32; `fine` holds the learned ones, `filling` is that of the voids."""
        # Pictures are cut into cells first, as a copy of all features in another order would cost more than they do.
        hats = hat_basis(_cells(images.float())).flatten(1)
        pixels = _PIXEL_SCALE * _cells(pixel_features(images.float(), filling)).flatten(1)
        learned = rearrange(fine, "b f h w -> (b h w) f").float()
        together = torch.cat([learned, hats, pixels, torch.ones_like(pixels[:, :1])], dim=1)
        return rearrange(together, "(b m) d -> b m d", b=images.shape[0])

    def pixel_part(self, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b m k"]:
        """The features that describe pixels as they are; the decoder gets them too."""
        return features[..., -self.pixel_width - 1 : -1]

    def statistics(
        self,
        features: Float[Tensor, "b m d"],
        targets: Float[Tensor, "b c h w"],
        weight: Float[Tensor, "b m"] | None = None,
    ) -> RidgeStatistics:
        """The sums of one prompt each; a cell counts in proportion to its `weight` (see `cell_weights`)."""
        with torch.autocast(features.device.type, enabled=False):
            channels = targets.shape[1]
            cells = rearrange(targets.float(), "b c (h i) (w j) -> b (h w) (c i j)", i=RIDGE_CELL, j=RIDGE_CELL)
            weighted = features if weight is None else features * weight[..., None]
            transposed = weighted.transpose(1, 2)
            cross = rearrange(transposed @ cells, "b d (c p) -> b c d p", c=channels)
            softness, soft = cross.new_zeros(cells.shape[0], channels), cells * (1 - cells)
            if torch.compiler.is_exporting() or bool(soft.any()):  # never for labels
                softness = torch.einsum("bm,bmq->bq", weighted[..., -1], soft)
                softness = rearrange(softness, "b (c p) -> b c p", c=channels).sum(2)
            return RidgeStatistics(transposed @ features, cross, softness)

    def solve(self, statistics: RidgeStatistics, target_type: TargetType) -> RidgeSolution:
        """Solve the regression on the prompts' sums; labels and pictures have penalties of their own.

        A picture takes the flexible solution where that leaves a much smaller error on the prompts.
        """
        with torch.autocast(statistics.gram.device.type, enabled=False):
            count = statistics.gram[:, -1:, -1:].clamp(min=1)
            gram, cross = statistics.gram / count, rearrange(statistics.cross, "b c d p -> b d (c p)") / count
            start = self._baseline_weights(gram, cross)
            labels, default, flexible = self.log_ridge_penalty
            weights = _solve_from(start, gram, cross, labels if target_type == "labels" else default)
            if target_type != "labels":
                other = _solve_from(start, gram, cross, flexible)
                softness = statistics.softness / count[:, 0]
                share = _flexible_share(gram, cross, softness, weights, other)
                weights = weights + repeat(share, "b c -> b 1 (c p)", p=_PIXELS) * (other - weights)
            return RidgeSolution(weights, *_class_means(gram, cross, weights))

    def predict(self, solution: RidgeSolution, features: Float[Tensor, "b m d"]) -> Float[Tensor, "b two c m p"]:
        """Predictions for every cell of queries: as they are, and scaled for class scores.

        Scaled, the prompts' cells without the class are at -1 and those with it at 1 on average. The solution is one
        per query, or one for all of them.
        """
        with torch.autocast(features.device.type, enabled=False):
            plain = features @ solution.weights
            contrast = (solution.inside - solution.outside).clamp(min=0.02)
            scaled = 2 * (plain - solution.outside) / contrast - 1
            both = torch.stack([plain, scaled.clamp(-4, 4)], dim=1)
            return rearrange(both, "b two m (c p) -> b two c m p", p=_PIXELS)

    def _baseline_weights(self, gram: Float[Tensor, "b d d"], cross: Float[Tensor, "b d q"]) -> Float[Tensor, "b d q"]:
        """Weights to shrink towards: each channel as one line of the same image pixel with voids filled.

        `gram` and `cross` are means over cells.
        """
        target = rearrange(cross, "b d (c p) -> b c d p", p=_PIXELS)
        by_feature = gram @ self.baseline
        mean, square = by_feature[:, -1].mean(1), (self.baseline * by_feature).sum((1, 2)) / _PIXELS
        level, product = target[:, :, -1].mean(2), (self.baseline * target).sum((2, 3)) / _PIXELS
        slope = (product - mean[:, None] * level) / (square - mean**2 + 1e-4)[:, None]
        line = torch.einsum("bc,dp->bdcp", slope, self.baseline)
        line[:, -1] = (level - slope * mean[:, None])[..., None]
        return rearrange(line, "b d c p -> b d (c p)")


def _cells(pictures: Float[Tensor, "b k s s"]) -> Float[Tensor, "bm k four four"]:
    """The cells of pictures, row by row."""
    return rearrange(pictures, "b k (h y) (w x) -> (b h w) k y x", y=RIDGE_CELL, x=RIDGE_CELL)


def pictures_of(cells: Float[Tensor, "b c m p"], side: int) -> Float[Tensor, "b c s s"]:
    """The pixels of all cells of a picture as the picture. side: of the picture, in pixels."""
    return rearrange(cells, "b c (h w) (y x) -> b c (h y) (w x)", h=side // RIDGE_CELL, y=RIDGE_CELL, x=RIDGE_CELL)


def cell_weights(
    images: Float[Tensor, "b i s s"],
    targets: Float[Tensor, "b c s s"],
    visible: Float[Tensor, "b m"],
    target_type: TargetType,
) -> Float[Tensor, "b m"]:
    """How much each visible cell of a prompt counts, 1 on average; cells of labels count alike.

    Most of a picture is often left unchanged and says little about the task. So a cell counts more the more its target
    departs from its image (the first one, where there are several).
    """
    if target_type == "labels":
        return visible
    change = (targets.float() - images[:, :1].float()).abs().mean(1, keepdim=True)
    change = F.avg_pool2d(change, RIDGE_CELL).flatten(1) * visible
    mean = change.sum(1, keepdim=True) / visible.sum(1, keepdim=True).clamp(min=1)
    return visible + _CHANGE / (1 + _CHANGE) * (change / (mean + 1e-4) - visible)


def _solve_from(
    start: Float[Tensor, "b d q"],
    gram: Float[Tensor, "b d d"],
    cross: Float[Tensor, "b d q"],
    log_penalty: Float[Tensor, " d"],
) -> Float[Tensor, "b d q"]:
    """Least squares with a penalty on the distance of the weights from `start`."""
    penalty = torch.diag_embed(log_penalty.exp().expand(len(gram), -1))
    factor, failed = torch.linalg.cholesky_ex(gram + penalty)
    factor = torch.where(failed[:, None, None] > 0, torch.nan, factor)  # training skips such a step and goes on
    return start + torch.cholesky_solve(cross - gram @ start, factor)


def _flexible_share(
    gram: Float[Tensor, "b d d"],
    cross: Float[Tensor, "b d q"],
    softness: Float[Tensor, "b c"],
    default: Float[Tensor, "b d q"],
    flexible: Float[Tensor, "b d q"],
) -> Float[Tensor, "b c"]:
    """Share of the flexible solution in each channel, 0 to 1, by the errors that both leave on the prompts."""
    channels = softness.shape[1]
    square = reduce(cross[:, -1], "b (c p) -> b c", "sum", c=channels) - softness  # t ** 2 = t - t * (1 - t)
    ratio = _squared_error(gram, cross, flexible, square) / _squared_error(gram, cross, default, square)
    return ((_DEFAULT_ABOVE - ratio.detach()) / (_DEFAULT_ABOVE - _FLEXIBLE_BELOW)).clamp(0, 1)


def _squared_error(
    gram: Float[Tensor, "b d d"],
    cross: Float[Tensor, "b d q"],
    weights: Float[Tensor, "b d q"],
    square: Float[Tensor, "b c"],
) -> Float[Tensor, "b c"]:
    """Mean squared error on the prompts' cells, whose targets have the mean square `square`."""
    explained = (weights * (2 * cross - gram @ weights)).sum(1)
    return (square - reduce(explained, "b (c p) -> b c", "sum", c=square.shape[1])).clamp(min=1e-6)


def _class_means(
    gram: Float[Tensor, "b d d"], cross: Float[Tensor, "b d q"], weights: Float[Tensor, "b d q"]
) -> tuple[Float[Tensor, "b 1 q"], Float[Tensor, "b 1 q"]]:
    """Mean predictions for the prompts' cells with a class and without it."""
    share, mean = cross[:, -1:], gram[:, -1:] @ weights
    inside = (cross * weights).sum(1, keepdim=True)
    return inside / (share + 1e-4), (mean - inside) / (1 - share + 1e-4)


def _filled_pixel_weights(width: int, inputs: int) -> Float[Tensor, "d p"]:
    """Weights that give the pixels of the first image with voids filled, less 0.5: its values plus the filling."""
    weights, pixels = torch.zeros(width, _PIXELS), torch.arange(_PIXELS)
    values = width - 1 - PIXEL_FEATURES * inputs * _PIXELS
    filling = values + 2 * inputs * _PIXELS
    weights[values + pixels, pixels] = weights[filling + pixels, pixels] = 1 / _PIXEL_SCALE
    return weights
