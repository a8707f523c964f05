"""What the picture of a translated visit shows: an axial and a coronal plane of each contrast."""

from collections.abc import Mapping
from platform.reporting.before_after import INPUT, OUTPUT, SPREAD
from types import MappingProxyType

import numpy as np

from trainers.cohorts.preprocessing.nifti import Scan
from trainers.data.arrays import Array
from trainers.inference import Enhanced

NO_MAPS: Mapping[str, Array | None] = MappingProxyType({})
PLANES = {"axial": 2, "coronal": 1}
"""Axes that a plane lies across."""


def planes(
    contrast: str, scan: Scan, enhanced: Enhanced, maps: Mapping[str, Array | None] = NO_MAPS
) -> list[tuple[str, Mapping[str, Array]]]:
    """The planes that hold most brain, anterior or superior up, pixels square: name, and images by kind.

    ``maps``: others on the scan's grid, by kind, where there are such.
    """
    shown = {INPUT: enhanced.untouched[contrast], OUTPUT: enhanced.volumes[contrast]}
    if contrast in enhanced.spread and enhanced.spread[contrast].any():
        shown[SPREAD] = enhanced.spread[contrast]
    shown |= {kind: values for kind, values in maps.items() if values is not None}
    brain = enhanced.brain[contrast]
    largest = {name: int(brain.sum(tuple({0, 1, 2} - {axis})).argmax()) for name, axis in PLANES.items()}
    return [
        (
            f"{contrast} {name}",
            {kind: square(volume, scan, PLANES[name], i) for kind, volume in shown.items()},
        )
        for name, i in largest.items()
    ]


def square(volume: Array, scan: Scan, axis: int, index: int) -> Array:
    """The plane at ``index`` of ``axis``, its rows and columns repeated until pixels are about square."""
    plane = np.take(volume, index, axis).T[::-1]
    across, up = (scan.spacing[i] for i in range(3) if i != axis)
    taller = np.repeat(plane, max(1, round(up / across)), axis=0)
    return np.repeat(taller, max(1, round(across / up)), axis=1)
