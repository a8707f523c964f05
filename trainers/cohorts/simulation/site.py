"""Sites: whom a hospital scans, and the ranges of its scanners' physics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from trainers.cohorts.simulation.physics import SEQUENCES, Contrast, Field, Sequence

Span = tuple[float, float]
"""Least and greatest value, between which each subject's or scan's is drawn uniformly."""


@dataclass(frozen=True)
class Quality:
    """Of the images of one field: factors are relative to ``physics.SCANNERS``.

    Motion, shift and gradient nonlinearity are those of 64 mT; 3 T is the truth of paired subjects.
    """

    noise: Span = (0.9, 1.2)
    """Factor of the noise."""
    bias: Span = (0.7, 1.3)
    """Factor of the receive field's deviation."""
    ghost: Span = (0.0, 0.01)
    """Amplitude of the ghost half a field of view away along the phase encoding (y)."""
    gradient: Span = (0.0, 0.0)
    """In-plane displacement (mm), 80 mm from the centre, left by the correction of gradient nonlinearity."""
    motion: Span = (0.0, 0.0)
    """Deviation of the position (mm, and degrees) between neighbouring slices' acquisitions."""
    shift: Span = (0.0, 0.0)
    """Distance (mm) by which the subject has moved between T1 and T2."""


@dataclass(frozen=True)
class Site:
    """A hospital."""

    name: str
    atrophy: Span = (0.0, 0.5)
    """Loss of cortex (mm) at the pial surface."""
    ventricles: Span = (-0.5, 1.5)
    """Shift of the ventricles' wall outwards (mm)."""
    lesions: float = 1.0
    """Factor of how often a subject has a lesion of each kind."""
    low: Quality = Quality(
        bias=(0.8, 1.2), ghost=(0.0, 0.02), gradient=(-0.7, 0.7), motion=(0.05, 0.25), shift=(0.1, 0.6)
    )
    high: Quality = Quality()
    protocol: Mapping[tuple[Field, Contrast], Sequence] = field(default_factory=lambda: SEQUENCES)

    def quality(self, at: Field) -> Quality:
        """Of a field's images."""
        return self.low if at == "64mT" else self.high


NORTH = Site("north")
"""Whose 64 mT images train."""
SOUTH = Site(
    "south",
    atrophy=(0.0, 0.3),
    ventricles=(-0.8, 0.8),
    lesions=0.7,
    high=Quality(noise=(0.7, 1.0), bias=(0.9, 1.5), ghost=(0.0, 0.005)),
    protocol=MappingProxyType({**SEQUENCES, ("3T", "T1"): Sequence(tr=2300, te=3.0, ti=1000)}),
)
"""Whose 3 T images train: a younger, healthier population, another 3 T scanner and protocol."""
EAST = Site(
    "east",
    atrophy=(0.3, 0.9),
    ventricles=(0.5, 3.0),
    lesions=1.2,
    low=Quality(
        noise=(1.2, 1.6),
        bias=(1.2, 1.8),
        ghost=(0.01, 0.04),
        gradient=(-2.0, 2.0),
        motion=(0.3, 0.8),
        shift=(0.5, 1.5),
    ),
    high=Quality(noise=(1.2, 1.8), bias=(1.0, 1.8), ghost=(0.0, 0.015)),
    protocol=MappingProxyType(
        {
            ("64mT", "T1"): Sequence(tr=950, te=6.0, ti=310),
            ("64mT", "T2"): Sequence(tr=2200, te=170),
            ("3T", "T1"): Sequence(tr=1900, te=2.5, ti=900),
            ("3T", "T2"): Sequence(tr=4500, te=85),
        }
    ),
)
"""Of the shifted test split: an older population, other protocols, poorer images; its ranges are assumed."""
SITES = {site.name: site for site in (NORTH, SOUTH, EAST)}


def draw(rng: np.random.Generator, span: Span) -> float:
    """A value of a span."""
    return float(rng.uniform(*span))
