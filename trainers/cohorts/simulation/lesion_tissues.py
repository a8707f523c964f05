"""The kinds of lesion and what they are made of at both fields."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from trainers.cohorts.simulation.physics import RELAXATION, Field, Relaxation
from trainers.data.arrays import Array

Kind = Literal["hyperintensity", "infarct", "cavity", "haemorrhage", "oedema", "mass"]
KINDS: tuple[Kind, ...] = ("hyperintensity", "infarct", "cavity", "haemorrhage", "oedema", "mass")
"""In the order of their labels 1, 2, ... in lesion maps; 0 is none."""

WATER: MappingProxyType[Kind, float] = MappingProxyType(
    {"hyperintensity": 0.40, "infarct": 0.54, "oedema": 0.33, "mass": 0.53}
)
"""Share of free water by which white matter is diluted; see :func:`diluted`."""
_BLOOD: MappingProxyType[Field, Relaxation] = MappingProxyType(
    {"64mT": Relaxation(0.80, 215, 85), "3T": Relaxation(0.80, 650, 60)}
)


@dataclass(frozen=True)
class Lesion:
    """Share ``[x, y, z]`` of each voxel in a ``box`` of its subject's grid that a lesion's tissue fills."""

    kind: Kind
    box: tuple[slice, slice, slice]
    weight: Array
    voxel: float
    """Volume of a voxel (ml)."""

    @property
    def volume(self) -> float:
        """Volume (ml)."""
        return float(self.weight.sum(dtype="float64")) * self.voxel


def exclusive(lesions: Sequence[Lesion], shape: tuple[int, ...]) -> tuple[Lesion, ...]:
    """Lesions of a grid of ``shape`` without what later ones fill: no part of a voxel counts twice."""
    free, found = np.ones(shape, np.float32), []
    for lesion in reversed(lesions):
        weight = lesion.weight * free[lesion.box]
        free[lesion.box] -= weight
        found.append(replace(lesion, weight=weight))
    return tuple(reversed(found))


def diluted(field: Field, water: float) -> Relaxation:
    """White matter with a share of free ``water`` in fast exchange: rates mix in proportion.

    The shares follow from measured T1 at 3 T, relative to the white matter of the other side: .33 from tissue
    about tumours, 1261 against 933 ms; .44 from solid tumours, 1444, and .62 from high-grade ones, 1863
    against 938 ms (de Blank et al., MR fingerprinting of 23 patients), of which the mass has the middle.
    Those of hyperintensities and infarcts are assumed. No measurement of a lesion at 64 mT was found: there
    the times follow from the shares.
    """
    white, fluid = RELAXATION[field][0], RELAXATION[field][3]

    def mixed(a: float, b: float) -> float:
        return 1 / ((1 - water) / a + water / b)

    density = (1 - water) * white.pd + water * fluid.pd
    return Relaxation(density, mixed(white.t1, fluid.t1), mixed(white.t2, fluid.t2))


def lesion_relaxation(field: Field) -> tuple[Relaxation, ...]:
    """Of each kind, in the order of ``KINDS``.

    A cavity is fluid. Blood is that of a subacute haematoma, its times assumed: methaemoglobin shortens T1;
    the loss of T2 grows with the square of the field (Gomori et al. 1985), so that 64 mT hardly shows it.
    """
    others = {"cavity": RELAXATION[field][3], "haemorrhage": _BLOOD[field]}
    return tuple(others.get(kind) or diluted(field, WATER[kind]) for kind in KINDS)
