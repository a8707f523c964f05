"""Consistency of an output with its input, and of its slices with each other (DATA.md B4).

Each takes one subject's slices [n, H, W], inferior to superior, and gives a scalar of float64.
"""

from torch import Tensor, stack

from trainers.metrics.edges import smooth_inside

WIDTHS = (0.0, 0.75, 1.5, 2.25, 3.0)
"""Sigmas (mm) of the point spreads tried between output and input."""


def input_residual(output: Tensor, source: Tensor, mask: Tensor, spacing: float) -> Tensor:
    """Share of the input that the output, at the input's resolution, does not explain, in [0, 1].

    Root of the squared error inside ``mask`` over the input's variance, after the gain (not negative), the
    offset and the Gaussian point spread (of ``WIDTHS``) that fit the subject best. 0 for the input itself,
    1 for an uncorrelated image; NaN for a constant image.
    """
    expected = source[mask].double()
    candidates = [_blurred(output.double(), mask, width / spacing)[mask] for width in WIDTHS]
    correlation = stack([_correlation(candidate, expected) for candidate in candidates])
    # With a gain and an offset the explained share of the variance is the squared correlation.
    return (1 - correlation.clamp(min=0).square().amax()).clamp(min=0).sqrt()


def through_plane_change(output: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """The :func:`change` of an output over the source's."""
    return change(output, mask) / change(source, mask)


def change(images: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute change from slice to slice; NaN for a single slice.

    Over the pixels inside ``mask`` [n, H, W] in both of two neighbours, in units of the standard deviation in
    the brain, so that low contrast is not counted as smoothness.
    """
    return _scaled(images, mask).diff(dim=0)[mask[1:] & mask[:-1]].abs().mean()


def slice_shift(output: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """The :func:`shift` of an output over the source's; NaN for fewer than three slices."""
    return shift(output, mask) / shift(source, mask)


def shift(images: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation over slices of the change in mean intensity to the next one, which flicker raises.

    Pixels and units as in :func:`change`; NaN for a single slice, 0 for two.
    """
    both = mask[1:] & mask[:-1]
    shifts = (_scaled(images, mask).diff(dim=0) * both).sum((1, 2)) / both.sum((1, 2))
    return (shifts - shifts.mean()).square().mean().sqrt()


def _scaled(images: Tensor, mask: Tensor) -> Tensor:
    images = images.double()
    return images / images[mask].std(correction=0)


def _blurred(images: Tensor, mask: Tensor, sigma: float) -> Tensor:
    return smooth_inside(images, mask, sigma) if sigma else images


def _correlation(x: Tensor, y: Tensor) -> Tensor:
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()
