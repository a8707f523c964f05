"""Cerebrospinal fluid, grey and white matter of one subject by intensity, and their agreement (DATA.md B4).

Shapes: n slices, H rows, W columns; P pixels, D contrasts.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trainers.metrics.surface import dice, normalised_surface_distance

TISSUES = ("csf", "gm", "wm")
TOLERANCE = 2.0
"""Of the surface distance (mm)."""
_START = (0.2, 0.6)  # quantiles that part the classes at first, about the tissues' shares of a brain
_FITTED = 20_000  # evenly spread pixels are enough for a dozen parameters
_STEPS, _SETTLED = 100, 1e-4
_VARIANCE_FLOOR, _TINY = 1e-6, 1e-9


def agreement(
    output: Mapping[str, Tensor], truth: Mapping[str, Tensor], region: Tensor, spacing: float
) -> dict[str, Tensor]:
    """``dice_*`` and ``nsd_*`` per tissue, and their means ``dice``, ``nsd``, of one subject.

    Slices [n, H, W] by contrast, both segmented on their own in ``region`` [n, H, W]; ``spacing`` in mm.
    """
    a, b = (_masks(segment(images, region)) for images in (output, truth))
    scores = {"dice": dice(a, b), "nsd": normalised_surface_distance(a, b, TOLERANCE / spacing)}
    by_tissue = {
        f"{name}_{tissue}": value
        for name, values in scores.items()
        for tissue, value in zip(TISSUES, values, strict=True)
    }
    return by_tissue | {name: values.mean() for name, values in scores.items()}


def segment(images: Mapping[str, Tensor], region: Tensor) -> Tensor:
    """Index into ``TISSUES`` [n, H, W] of each pixel of ``region``, -1 outside, from T1, T2 or both.

    The tissues are told by T1 rising from fluid to white matter, without T1 by T2 falling.
    """
    rising = [sign * images[name][region] for name, sign in (("T1", 1), ("T2", -1)) if name in images]
    values = torch.stack(rising).double()
    means, covariance = fit_mixture(values[:, :: -(-values.shape[1] // _FITTED)])
    labels = torch.full(region.shape, -1, device=region.device)
    labels[region] = _scores(values, means[:, means[0].argsort()], covariance).argmax(0)
    return labels


def fit_mixture(values: Tensor) -> tuple[Tensor, Tensor]:
    """Means [D, 3] and the common covariance [D, D] of three equally likely Gaussians in values [D, P].

    Expectation maximisation from a split at quantiles of the first row: no draw. One covariance and no free
    weights, because with either freed a class drifts into the mixed pixels between two others: on the
    phantom's 3 T slices that gave a worse fluid or no grey matter at all.
    """
    cuts = values[0].quantile(values.new_tensor(_START))
    # Classes first: torch's softmax over a short last axis is ten times slower.
    shares = one_hot((values[0] > cuts[:, None]).sum(0), len(TISSUES)).T.to(values)
    means, floor = values.new_zeros(()), _VARIANCE_FLOOR * torch.eye(len(values)).to(values)
    for _ in range(_STEPS):
        before, weights = means, shares.sum(1)
        # A class without pixels (a constant image) stays at 0 and takes none.
        means = (values @ shares.T) / weights.clamp(min=_TINY)
        spread = values @ values.T - (weights * means) @ means.T
        covariance = spread / values.shape[1] + floor
        if (means - before).abs().max() < _SETTLED:
            break
        shares = _scores(values, means, covariance).softmax(0)
    return means, covariance


def _scores(values: Tensor, means: Tensor, covariance: Tensor) -> Tensor:
    """Logarithm of each class's likelihood [3, P], but for a term that all share."""
    direction: Tensor = torch.linalg.solve(covariance, means)
    return direction.T @ values - (means * direction).sum(0)[:, None] / 2


def _masks(labels: Tensor) -> Tensor:
    """Labels [n, H, W] -> masks [n, 3, H, W]."""
    return torch.stack([labels == tissue for tissue in range(len(TISSUES))], 1)
