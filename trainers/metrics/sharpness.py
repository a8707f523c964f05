"""How sharp a subject's slices are."""

import torch
from torch import Tensor

from trainers.metrics.surface import interior


def gradient_energy(image: Tensor, region: Tensor) -> Tensor:
    """Mean squared in-plane gradient of slices [n, H, W] inside ``region``, over the image's variance there.

    A scalar of float64; neither gain nor offset changes it. The region's own border is left out.
    """
    image = image.double()
    down, right = torch.gradient(image, dim=(-2, -1))
    energy = (down.square() + right.square())[interior(region)].mean()
    return energy / image[region].var(correction=0)
