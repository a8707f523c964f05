"""Adversarial losses: least squares (the bridge's discriminator) and non-saturating (DMD2's classifier)."""

import torch.nn.functional as F
from torch import Tensor


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """0.5 [(D(real) - 1)^2 + D(fake)^2] (Mao et al. 2017; METHOD.md 1.6)."""
    return 0.5 * ((real.float() - 1).square().mean() + fake.float().square().mean())


def lsgan_generator(fake: Tensor) -> Tensor:
    """(D(fake) - 1)^2."""
    return (fake.float() - 1).square().mean()


def classifier(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(-C(real)) + softplus(C(fake)), DMD2's auxiliary classifier (METHOD.md section 2)."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def classifier_generator(fake: Tensor) -> Tensor:
    """softplus(-C(fake)): the non-saturating generator side (equation 10's last term)."""
    return F.softplus(-fake.float()).mean()
