"""What the picture of a translated visit shows: an axial and a coronal plane of each contrast."""

from collections.abc import Mapping
from platform.reporting.before_after import INPUT, OUTPUT, REFERENCE, SPREAD

import numpy as np

from trainers.cohorts.preprocessing.nifti import Scan
from trainers.data.arrays import Array
from trainers.inference import Enhanced

PLANES = {"axial": 2, "coronal": 1}
"""Axes that a plane lies across."""


def planes(
    contrast: str, scan: Scan, enhanced: Enhanced, reference: Array | None = None
) -> list[tuple[str, Mapping[str, Array]]]:
    """The planes that hold most brain, anterior or superior up, pixels square: name, and images by kind.

    ``reference``: the paired 3 T scan on the scan's grid in [0, 1], where there is one.
    """
    shown = {INPUT: enhanced.untouched[contrast], OUTPUT: enhanced.volumes[contrast]}
    if contrast in enhanced.spread and enhanced.spread[contrast].any():
        shown[SPREAD] = enhanced.spread[contrast]
    if reference is not None:
        shown[REFERENCE] = reference
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
