"""Lesions of a subject: how many, how large, where, and the shape that a mass gives its surroundings.

All sizes and candidates are drawn before anything is compared with a threshold, so that a rounding error
does not move a lesion. Lengths are in mm, volumes in ml, levels as in ``surfaces.LEVELS``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainers.cohorts.simulation.focal import LOWEST, Blob, Ground, Mass, hyperintensities, lesion, soft
from trainers.cohorts.simulation.lesion_tissues import Kind, Lesion, exclusive
from trainers.data.arrays import Array

FocalKind = Literal["infarct", "lacune", "haemorrhage", "mass"]
Volume = tuple[float, float, float, float]
"""Median (ml), deviation of the logarithm, least and greatest volume of a lesion."""


@dataclass(frozen=True)
class Rates:
    """How often a subject has lesions of each kind, and the volume of its hyperintensities."""

    hyperintensities: float
    focal: Mapping[FocalKind, float]
    volume: Volume = (4.0, 0.9, 0.5, 30.0)


RATES: Mapping[str, Rates] = {
    "none": Rates(0.0, {"infarct": 0.0, "lacune": 0.0, "haemorrhage": 0.0, "mass": 0.0}),
    "ordinary": Rates(0.6, {"infarct": 0.12, "lacune": 0.15, "haemorrhage": 0.08, "mass": 0.08}),
    "more": Rates(
        0.95,
        {"infarct": 0.4, "lacune": 0.4, "haemorrhage": 0.3, "mass": 0.3},
        volume=(8.0, 0.8, 0.5, 30.0),
    ),
}
VOLUMES: Mapping[FocalKind, Volume] = {
    "infarct": (10.0, 0.9, 2.0, 80.0),
    "lacune": (0.5, 0.6, 0.1, 1.7),  # up to 15 mm across
    "haemorrhage": (9.0, 0.8, 1.0, 50.0),
    "mass": (14.0, 0.6, 3.0, 45.0),
}
"""Of the whole infarct, the blood, the solid mass; assumed within what is reported for such lesions."""
CANDIDATES = 4000
LEAST = 0.02
"""Volume (ml) below which what overlaps left of a lesion is none."""


@dataclass(frozen=True)
class Plan:
    """What was drawn: the hyperintensities' volume (0: none) and, by kind, a focal lesion's volume."""

    hyperintensities: float
    focal: Mapping[FocalKind, float]


def draw_plan(rng: np.random.Generator, rates: Rates, factor: float) -> Plan:
    """Draw which lesions a subject has, each kind at ``factor`` times its rate, and their volumes."""
    chance, sizes = rng.random(1 + len(VOLUMES)), rng.standard_normal(1 + len(VOLUMES))
    limits = (rates.hyperintensities, *rates.focal.values())
    volumes = [
        float(np.clip(median * np.exp(deviation * size), low, high)) if drawn < min(1, factor * rate) else 0.0
        for (median, deviation, low, high), size, drawn, rate in zip(
            (rates.volume, *VOLUMES.values()), sizes, chance, limits, strict=True
        )
    ]
    return Plan(volumes[0], dict(zip(VOLUMES, volumes[1:], strict=True)))


def place(kind: FocalKind, volume: float, rng: np.random.Generator, ground: Ground) -> Blob | None:
    """A blob of ``volume`` at the first candidate that suits the kind; None where none does."""
    blob = Blob.draw(rng, volume)
    drawn = (rng.random((CANDIDATES, 3)) * ground.height.shape).astype(int)
    if not volume:
        return None
    white, pial, deep, ventricle, brain = ground.levels[(slice(None), *drawn.T)]
    suits = {
        "mass": (brain > blob.radius + 4) & (white > -2) & (ventricle < -4) & (deep < -4),
        "haemorrhage": (deep > 0) & (brain > blob.radius),
        "infarct": (pial > 0) & (white < 2) & (brain > 4) & (brain < 18) & (deep < -6),
        "lacune": (deep > -5) & (white > 2) & (ventricle < -3),
    }[kind]
    places = drawn[suits & (ground.height[tuple(drawn.T)] > LOWEST)]
    return blob.at(places[0]) if len(places) else None


def place_mass(plan: Plan, rng: np.random.Generator, ground: Ground) -> Mass | None:
    """Where a subject's mass grows, if it has one."""
    blob = place("mass", plan.focal["mass"], rng, ground)
    return Mass(blob) if blob else None


def make_lesions(
    plan: Plan, rng: np.random.Generator, ground: Ground, mass: Mass | None
) -> tuple[Lesion, ...]:
    """The subject's lesions, which do not overlap: the later of two takes what both would fill."""
    lesions = [hyperintensities(plan.hyperintensities, rng, ground)] if plan.hyperintensities else []
    kinds: tuple[FocalKind, ...] = ("infarct", "lacune", "haemorrhage")
    for kind in kinds:
        blob = place(kind, plan.focal[kind], rng, ground)
        lesions += _tissues(kind, blob, ground) if blob else []
    lesions += _tissues("mass", mass.blob, ground) if mass else []
    return tuple(each for each in exclusive(lesions, ground.height.shape) if each.volume > LEAST)


def _tissues(kind: FocalKind, blob: Blob, ground: Ground) -> list[Lesion]:
    """What a focal lesion consists of, from its surroundings inwards; all on one side of the midline."""
    box = blob.box(ground.height.shape, ground.spacing, 14)
    depth, radius = blob.depth(box, ground.spacing), blob.radius
    side = ground.left[box] == ground.left[tuple(blob.centre)]
    solid, white = ground.solid[box] * side, ground.white[box] * side

    def part(tissue: Kind, margin: float, within: Array) -> Lesion:
        return lesion(tissue, box, soft(depth + margin, ground.spacing) * within, ground.spacing)

    if kind == "infarct":
        return [part("infarct", 0, solid), part("cavity", -max(3.0, 0.35 * radius), solid)]
    if kind == "lacune":
        return [part("infarct", 0, solid), part("cavity", -1.5, solid)]
    if kind == "haemorrhage":
        return [part("oedema", 2 + 5 * blob.rim, white), part("haemorrhage", 0, solid)]
    necrosis = [part("cavity", -0.5 * radius, solid)] if radius > 12 else []
    return [part("oedema", 3 + 9 * blob.rim, white), part("mass", 0, solid), *necrosis]
