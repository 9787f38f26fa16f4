"""SimpleITK's registration methods, each from an affine map of its own: a map of points of the fixed image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from mvg.imaging.displacement import DisplacementField
from mvg.imaging.volume import Volume
from mvg.imaging.window import Window

_BINS, _SAMPLES = 32, 0.1
_SHRINKING = (4, 2, 1)
_DEMONS_STEPS = (60, 40, 20)
_DEMONS_SMOOTHING = 1.0  # voxels
_SPLINE_SPACING = 80.0  # mm between the knots at the first resolution, a quarter of it at the last
_SPLINE_STEPS = 20  # at each resolution
_SPLINE_ACCURACY = 1e-9
_SPLINE_SAMPLES = (0.4, 0.2, 0.05)  # shares of the voxels
_THIN = 2.2  # slices that are thicker than so many pixels are not averaged
_SHORTEST = 32  # voxels of an axis that is averaged


def image_of(volume: Volume) -> Any:
    """The image in [0, 1] as SimpleITK has it."""
    scaled = Window.fit(volume.voxels).apply(volume.voxels)
    image = sitk.GetImageFromArray(np.ascontiguousarray(scaled.transpose(2, 1, 0)))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    image.SetSpacing(volume.spacing)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    return image


def affine(fixed: Any, moving: Any) -> Any:
    """Mattes' mutual information at two resolutions, from the centers of mass."""
    centers = sitk.CenteredTransformInitializerFilter.MOMENTS
    start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), centers)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLES, 0)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SetInitialTransform(start, False)
    return method.Execute(fixed, moving)


def demons(fixed: Any, moving: Any) -> Any:
    """Diffeomorphic demons at three resolutions."""
    first = _start(fixed, moving)
    aligned = sitk.Resample(moving, fixed, first, sitk.sitkLinear, 0.0)
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetStandardDeviations(_DEMONS_SMOOTHING)
    method.SetSmoothDisplacementField(True)
    field = None
    for factor, steps in zip(_SHRINKING, _DEMONS_STEPS, strict=True):
        still, other = (_averaged(image, factor) for image in (fixed, aligned))
        method.SetNumberOfIterations(steps)
        if field is None:
            field = method.Execute(still, other)
        else:
            field = method.Execute(still, other, sitk.Resample(field, still, sitk.Transform(), sitk.sitkLinear, 0.0))
    return _composed(first, sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64)))


def bspline(fixed: Any, moving: Any) -> Any:
    """Cubic B-splines at three resolutions that minimize the mean squares, as demons do.

    SimpleITK's correlation costs ten times as much: it keeps a sum for each parameter and sample.
    """
    first = _start(fixed, moving)
    extents = [length * step for length, step in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    spline = sitk.BSplineTransformInitializer(fixed, [max(1, round(e / _SPLINE_SPACING)) for e in extents], 3)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(list(_SPLINE_SAMPLES), 0)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMovingInitialTransform(first)
    method.SetInitialTransformAsBSpline(spline, True, [1, 2, 4])
    method.SetShrinkFactorsPerLevel(list(_SHRINKING))
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    # With the accuracy that is set otherwise, it stops at once: slopes of intensities in [0, 1] are small.
    method.SetOptimizerAsLBFGS2(solutionAccuracy=_SPLINE_ACCURACY, numberOfIterations=_SPLINE_STEPS)
    method.Execute(fixed, moving)
    return _composed(first, spline)


def aligned_by(method: Callable[[Any, Any], Any]) -> Callable[[Volume, Volume], DisplacementField]:
    """(moving, fixed) -> the field of one of these methods."""

    def align(moving: Volume, fixed: Volume) -> DisplacementField:
        image = image_of(fixed)
        return field_of(method(image, image_of(moving)), image, fixed)

    return align


def field_of(transform: Any, fixed: Any, volume: Volume) -> DisplacementField:
    """The field of a transform on the grid of the fixed image."""
    grid = fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection()
    image = sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat32, *grid)
    return DisplacementField(np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0, 3)), volume)


def _start(fixed: Any, moving: Any) -> Any:
    """The affine map, or none where the images share a grid: it would only move what is aligned."""
    same = fixed.GetSize() == moving.GetSize() and np.allclose(fixed.GetOrigin(), moving.GetOrigin())
    return sitk.AffineTransform(3) if same else affine(fixed, moving)


def _composed(first: Any, then: Any) -> Any:
    transform = sitk.CompositeTransform(3)
    transform.AddTransform(first)
    transform.AddTransform(then)
    return transform


def _averaged(image: Any, factor: int) -> Any:
    if factor == 1:
        return image
    steps = image.GetSpacing()
    finest = min(steps)
    thick = [step > _THIN * finest or length < _SHORTEST for step, length in zip(steps, image.GetSize(), strict=True)]
    widths = [1e-3 * step if one else 0.5 * factor * step for one, step in zip(thick, steps, strict=True)]
    return sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, widths), [1 if one else factor for one in thick])
