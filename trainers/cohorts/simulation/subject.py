"""A random subject: the warped template with sharpened tissues and lesions."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from trainers.cohorts.simulation import deformation, physics
from trainers.cohorts.simulation.anatomy import Template
from trainers.cohorts.simulation.physics import Field, Relaxation
from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.data.arrays import Array

SHARPNESS = 2.2
"""Power of the tissue probabilities, which removes the blur of the average brain."""
FOLDING = 0.5
"""Deviation of the log-odds field (as smooth as 3 mm) that varies the gyri of subjects."""
CSF_PRIOR = 2.0
"""Weight of CSF before sharpening, as averaging closes the sulci of the template."""
TEXTURE = 0.02
"""Deviation of the multiplicative texture, common to all images of a subject."""
JITTER = 0.03
"""Deviation of each tissue's logarithms of density, T1 and T2 between subjects."""


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions ``[5, X, Y, Z]`` in the order of ``physics.TISSUES``, and their imaging properties."""

    fractions: Array
    mask: Array
    affine: Array
    spacing: float
    texture: Array
    relaxation: MappingProxyType[Field, tuple[Relaxation, ...]]
    lesions: int


def make_anatomy(template: Template, rng: np.random.Generator) -> Anatomy:
    """Draw a subject; the same generator state gives the same subject."""
    shape, spacing = template.mask.shape, template.spacing
    coordinates = deformation.random_coordinates(rng, shape, spacing)
    maps = torch.from_numpy(np.concatenate([template.tissues, template.mask[None]]))
    warped = deformation.sample(maps, coordinates).numpy()
    mask = warped[4] > 0.5
    fractions = np.zeros((5, *shape), np.float32)
    fractions[:4] = sharpen(warped[:4], folding_field(rng, shape, spacing))
    lesions = add_lesions(fractions, rng, spacing)
    texture = 1 + TEXTURE * smooth_field(rng, shape, 1.2)
    return Anatomy(fractions * mask, mask, template.affine, spacing, texture, draw_relaxation(rng), lesions)


def folding_field(rng: np.random.Generator, shape: tuple[int, ...], spacing: float) -> Array:
    """Log-odds ``[4, X, Y, Z]`` added to the tissues' before sharpening."""
    return FOLDING * smooth_field(rng, shape, 3.0 / spacing, 4)


def sharpen(probabilities: Array, log_odds: Array) -> Array:
    """Fractions ``[C, ...]`` that sum to one: probabilities weighted, raised to a power and renormalised."""
    weighted = probabilities.copy()
    weighted[3] *= CSF_PRIOR
    powers = (weighted + 1e-6) ** SHARPNESS * np.exp(log_odds)
    return np.asarray(powers / powers.sum(0))


def add_lesions(fractions: Array, rng: np.random.Generator, spacing: float) -> int:
    """Turn 0 to 3 balls of white matter (radius 2 to 5 mm) into lesion, in place; returns their number."""
    radii = rng.uniform(2.0, 5.0, int(rng.integers(0, 4))) / spacing
    # Candidates are drawn first, so that a rounding error elsewhere does not move a lesion.
    candidates = (rng.random((400, 3)) * fractions.shape[1:]).astype(int)
    white = candidates[fractions[0][tuple(candidates.T)] > 0.95]
    for radius, centre in zip(radii, white, strict=False):
        reach = int(np.ceil(radius)) + 1
        box = tuple(slice(max(c - reach, 0), c + reach + 1) for c in centre)
        offsets = np.indices(fractions[0][box].shape) - np.minimum(centre, reach)[:, None, None, None]
        ball = np.clip(radius + 0.5 - np.sqrt((offsets**2).sum(0)), 0, 1)
        replaced = (fractions[0][box] * ball).astype(np.float32)
        fractions[4][box] += replaced
        fractions[0][box] -= replaced
    return min(len(radii), len(white))


def draw_relaxation(rng: np.random.Generator) -> MappingProxyType[Field, tuple[Relaxation, ...]]:
    """A subject's tissues: each constant of the table varied by some 3 %, equally at both fields."""
    factors = np.exp(JITTER * rng.standard_normal((len(physics.TISSUES), 3)))
    return MappingProxyType(
        {
            field: tuple(
                Relaxation(t.pd * float(pd), t.t1 * float(t1), t.t2 * float(t2))
                for t, (pd, t1, t2) in zip(tissues, factors, strict=True)
            )
            for field, tissues in physics.RELAXATION.items()
        }
    )
