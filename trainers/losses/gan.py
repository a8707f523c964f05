"""Adversarial losses: least squares (the bridge's discriminator), non-saturating (DMD2, SynDiff), and R1."""

import torch
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


def r1(logits: Tensor, images: Tensor) -> Tensor:
    """Half the mean squared gradient of real images' logits (Mescheder et al. 2018, equation 9, gamma 1).

    ``logits`` [B] or maps of them. A map of n logits counts as n images, so that the penalty is the same for
    every size of crop. ``images`` [B, ...] must require gradients; so does the result.
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), images, create_graph=True)
    return 0.5 * gradient.float().square().sum() / logits.numel()
