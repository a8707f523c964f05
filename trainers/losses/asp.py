"""Anatomical Structure Preservation: the output keeps the input's foreground and its boundaries.

Equations 6b-8 of METHOD.md section 5. Images are [B, H, W] in [0, 1], float32: with T_m of a few hundredths
the logits reach +-30, which half precision would saturate.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """ASP's thresholds: mask (tau_m, T_m), trimap (t_f, t_b), boundary tolerance (delta, s in pixels)."""

    tau_m: float
    T_m: float
    t_f: float
    t_b: float
    delta: float
    s: float

    def __post_init__(self) -> None:
        """Black must be confident background, else Omega_b is empty (METHOD.md 5.1)."""
        limit = self.tau_m / math.log((1 - self.t_b) / self.t_b) if self.t_b < 0.5 else math.inf
        if self.T_m >= limit:
            raise InputError(
                f"T_m: {self.T_m:g} is not feasible with tau_m={self.tau_m:g}, t_b={self.t_b:g}; "
                f"allowed: T_m < tau_m / ln((1 - t_b) / t_b) = {limit:.4g}"
            )


@dataclass(frozen=True)
class Structure:
    """What ASP keeps of the input, without gradient: Omega_f, Omega_b and the boundary gate g, [B, H, W]."""

    foreground: Tensor
    background: Tensor
    gate: Tensor
    usable: Tensor
    """[B]: 0 where the input has no boundary or a region is empty, else 1."""


def intensity(x: Tensor) -> Tensor:
    """Channels [B, C, H, W] in [-1, 1] to one image [B, H, W] in [0, 1]: the channel maximum.

    CSF is dark in T1 alone, bright in T2: the maximum keeps it foreground (METHOD.md 5.1).
    """
    return (x.float().amax(1) + 1) / 2


def mask_logits(image: Tensor, thresholds: Thresholds) -> Tensor:
    """(x - tau_m) / T_m, whose sigmoid is the soft mask m (equation 6b)."""
    return (image - thresholds.tau_m) / thresholds.T_m


def boundary(mask: Tensor) -> Tensor:
    """Soft boundary |grad m|: central differences, replicated edges."""
    padded = F.pad(mask[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    gx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    gy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return torch.sqrt(gx.square() + gy.square() + 1e-12) - 1e-6


def hard_edges(inside: Tensor) -> Tensor:
    """Pixels of a boolean mask [B, H, W] with a 4-neighbour outside it."""
    padded = F.pad(inside[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0]
    neighbours = torch.stack(
        (padded[:, 1:-1, 2:], padded[:, 1:-1, :-2], padded[:, 2:, 1:-1], padded[:, :-2, 1:-1])
    )
    return inside & (neighbours.amin(0) < 0.5)


def truncated_distance(points: Tensor, radius: int) -> Tensor:
    """Euclidean distance [B, H, W] to the nearest true pixel of ``points``, at most ``radius``.

    Two separable min-plus passes (Felzenszwalb & Huttenlocher 2012); beyond ``radius`` the gate is saturated.
    """
    far = float(2 * radius * radius)
    squared = torch.where(points, 0.0, far)
    offsets = torch.arange(-radius, radius + 1, device=points.device, dtype=torch.float32).square()
    for pad in ((radius, radius), (0, 0, radius, radius)):
        dim = -1 if len(pad) == 2 else -2
        windows = F.pad(squared, pad, value=far).unfold(dim, 2 * radius + 1, 1)
        squared = (windows + offsets).amin(-1)
    return squared.sqrt().clamp_max(radius)


def boundary_gate(distance: Tensor, delta: float, s: float) -> Tensor:
    """Gate sigmoid((delta - D) / s) / sigmoid(delta / s): 1 on the input's boundary, 0 far from it."""
    return torch.sigmoid((delta - distance) / s) / torch.sigmoid(torch.tensor(delta / s))


@torch.no_grad()
def structure(source: Tensor, thresholds: Thresholds) -> Structure:
    """The trimap (equation 7) and the boundary gate of a source image [B, H, W] in [0, 1]."""
    mask = torch.sigmoid(mask_logits(source, thresholds))
    edges = hard_edges(mask >= 0.5) | (boundary(mask) > 0.1)
    radius = math.ceil(thresholds.delta + 8 * thresholds.s)
    gate = boundary_gate(truncated_distance(edges, radius), thresholds.delta, thresholds.s)
    foreground, background = mask > thresholds.t_f, mask < thresholds.t_b
    usable = edges.flatten(1).any(1) & foreground.flatten(1).any(1) & background.flatten(1).any(1)
    return Structure(foreground, background, gate, usable.float())


def trimap_loss(image: Tensor, kept: Structure, thresholds: Thresholds) -> Tensor:
    """L_tri of equation 8, per sample [B]: class-balanced binary cross entropy on the confident regions."""
    z = mask_logits(image, thresholds)
    return (
        0.5 * (_mean(F.softplus(-z), kept.foreground) + _mean(F.softplus(z), kept.background)) * kept.usable
    )


def boundary_loss(image: Tensor, kept: Structure, thresholds: Thresholds) -> Tensor:
    """L_bnd of equation 8, per sample [B]: share of the output's boundary beyond delta of the input's."""
    edge = boundary(torch.sigmoid(mask_logits(image, thresholds)))
    inlier = (edge * kept.gate).sum((1, 2)) / (edge.sum((1, 2)) + 1.0)
    return (1 - inlier) * kept.usable


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum((1, 2)) / where.sum((1, 2)).clamp_min(1)
