"""Cerebrospinal fluid, grey and white matter of one subject by intensity, and their agreement (DATA.md B4).

Shapes: n slices, H rows, W columns; P pixels, D contrasts.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trainers.metrics.measures import TISSUES
from trainers.metrics.surface import dice, normalised_surface_distance

TOLERANCE = 2.0
"""Of the surface distance (mm)."""
_START = (0.2, 0.6)  # quantiles of the first split, about the tissues' shares of a brain
_SPREAD = 0.1  # variance of a class, of all pixels' variance
_FITTED = 20_000  # evenly spread pixels are enough for three means
_STEPS, _SETTLED = 100, 1e-3
_TINY = 1e-9


def agreement(output: Tensor, truth: Tensor, spacing: float) -> dict[str, Tensor]:
    """``dice_*``, ``nsd_*`` and ``volume_error_*`` per tissue, and their means, of one subject.

    Masks of both as from :func:`tissue_masks`, each segmented on its own; ``spacing`` in mm.
    """
    volumes = [masks.sum((0, -2, -1)).double() for masks in (output, truth)]
    scores = {
        "dice": dice(output, truth),
        "nsd": normalised_surface_distance(output, truth, TOLERANCE / spacing),
        "volume_error": torch.where(volumes[1] > 0, (volumes[0] - volumes[1]).abs() / volumes[1], torch.nan),
    }
    by_tissue = {
        f"{name}_{tissue}": value
        for name, values in scores.items()
        for tissue, value in zip(TISSUES, values, strict=True)
    }
    return by_tissue | {name: values.mean() for name, values in scores.items()}


def tissue_masks(images: Mapping[str, Tensor], region: Tensor) -> Tensor:
    """Masks [n, 3, H, W] of ``TISSUES`` in ``region`` [n, H, W] from slices [n, H, W] by contrast."""
    labels = segment(images, region)
    return torch.stack([labels == tissue for tissue in range(len(TISSUES))], 1)


def segment(images: Mapping[str, Tensor], region: Tensor) -> Tensor:
    """Index into ``TISSUES`` [n, H, W] of each pixel of ``region``, -1 outside, from T1, T2 or both.

    From fluid to white matter T1 rises and T2 falls.
    """
    rising = [sign * images[name][region] for name, sign in (("T1", 1), ("T2", -1)) if name in images]
    values = torch.stack(rising).double()
    values = values / values.std(1, keepdim=True).clamp(min=_TINY)
    means = fit_mixture(values[:, :: -(-values.shape[1] // _FITTED)])
    labels = torch.full(region.shape, -1, device=region.device)
    labels[region] = _scores(values, means).argmax(0)
    return labels


def fit_mixture(values: Tensor) -> Tensor:
    """Means [D, 3], their sums rising, of three Gaussians in values [D, P], each row of unit variance.

    Expectation maximisation, started from a split at quantiles of the rows' sum; deterministic. The classes
    are equally likely and of one fixed spread. If either is fitted, classes may move to the mixed pixels
    between two others, or merge where the peaks overlap (64 mT, one contrast): with a common covariance
    fitted, grey and white matter of three of four phantoms merged into one class.
    """
    sums = values.sum(0)
    first = (sums > sums.quantile(sums.new_tensor(_START))[:, None]).sum(0)
    # Classes in rows: torch's softmax over a short last axis is ten times slower.
    shares = one_hot(first, len(TISSUES)).T.to(values)
    means = values.new_zeros(())
    for _ in range(_STEPS):
        # A class without pixels (a constant image) stays at 0.
        before, means = means, (values @ shares.T) / shares.sum(1).clamp(min=_TINY)
        if (means - before).abs().max() < _SETTLED:
            break
        shares = _scores(values, means).softmax(0)
    return means[:, means.sum(0).argsort()]


def _scores(values: Tensor, means: Tensor) -> Tensor:
    """Logarithm of each class's likelihood [3, P], but for a term that all share."""
    return (means.T @ values - means.square().sum(0)[:, None] / 2) / _SPREAD
