"""Checks of a scan: no brain, the other contrast, a field of view unlike a head's.

Thresholds are between the worst good and the best bad of the measured scans: 4 real heads, 2 real extracted
brains and 4 simulated heads; noise, a sphere, a cube and heads turned upside down.
"""

import numpy as np

from trainers.cohorts.preprocessing import slicing
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.skullstrip import BRAIN_ML, Stripped, edge_cut
from trainers.data.arrays import Array

VOXEL_MM = (0.3, 10.0)
EXTENT_MM = (100.0, 600.0)
"""Smallest and largest plausible field of view along an axis."""
MAX_IN_PLANE = 3.0  # mm, across an axial slice
MIN_SIMILARITY = 1.012  # good 1.013 and more, cube 1.011, a head upside down 1.008
MIN_CORRELATION = 0.15
"""With the T1w template, either sign: good 0.177 and more; noise, sphere, turned 64 mT heads 0.11 and less.

It misses a cube (0.26) and a T1w head upside down (0.19): similarity or rim to core find those.
"""
MAX_CUT = 0.5  # half a head 1
RIM_TO_CORE = (0.95, 1.05)
"""Grey rim over white core: T1w 0.88 and less, T2w 1.16 and more; a sphere and a cube 1.00."""


def check_scan(scan: Image, stripped: Stripped, contrast: str) -> list[str]:
    """Warnings about ``scan``, given as ``contrast``, a line each."""
    return [
        *_field_of_view(scan, stripped.mask),
        *_brain(scan, stripped),
        *_contrast(scan, stripped, contrast),
    ]


def rim_to_core(scan: Image, mask: Array) -> float | None:
    """Median 3-10 mm below the edge of ``mask`` over that below 15 mm; None where there is no such core.

    Grey matter is outside and white matter inside: T1w gives less than 1 and T2w more, at any field, with
    or without a skull, without registration. The first 3 mm are left out, as masks differ there.
    """
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return None
    cut = slicing.box(mask)
    depth = distance_transform_edt(np.pad(mask[cut], 1), sampling=scan.spacing)[1:-1, 1:-1, 1:-1]
    rim, core = scan.values[cut][(depth > 3) & (depth < 10)], scan.values[cut][depth > 15]
    if not rim.size or not core.size or not np.median(core) > 0:
        return None
    return float(np.median(rim) / np.median(core))


def _field_of_view(scan: Image, mask: Array) -> list[str]:
    found = []
    spacing = scan.spacing
    extent = spacing * scan.values.shape
    if spacing.min() < VOXEL_MM[0] or spacing.max() > VOXEL_MM[1]:
        found.append(f"voxels of {_mm(spacing)} mm; a brain scan has {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g}")
    if extent.min() < EXTENT_MM[0] or extent.max() > EXTENT_MM[1]:
        limits = f"{EXTENT_MM[0]:g} to {EXTENT_MM[1]:g}"
        found.append(f"a field of view of {_mm(extent)} mm; a head's has {limits} along each axis")
    found += not_axial(spacing)
    cut = edge_cut(mask)
    if cut > MAX_CUT:
        found.append(f"the brain is cut by the edge of the field of view ({cut:.0%} of its widest section)")
    return found


def not_axial(spacing: Array) -> list[str]:
    """A line about voxels (mm, RAS) that are wide in plane."""
    if spacing[:2].max() <= max(MAX_IN_PLANE, spacing[2]):
        return []
    return [f"slices that are not axial: voxels of {_mm(spacing)} mm; models work on axial ones"]


def _brain(scan: Image, stripped: Stripped) -> list[str]:
    found = []
    ml = float(stripped.mask.sum()) * scan.voxel_ml
    if not BRAIN_ML[0] <= ml <= BRAIN_ML[1]:
        found.append(
            f"no brain found: its mask holds {ml:.0f} ml, a brain {BRAIN_ML[0]:g} to {BRAIN_ML[1]:g}"
        )
    similarity, correlation = stripped.facts.get("similarity"), stripped.facts.get("correlation")
    if similarity is not None and similarity < MIN_SIMILARITY:
        found.append(f"unlike a head: similarity to the template {similarity:.3f}, at least {MIN_SIMILARITY}")
    if correlation is not None and abs(correlation) < MIN_CORRELATION:
        limit = f"at least {MIN_CORRELATION} either way"
        found.append(
            f"unlike a brain, or turned over: correlation with the template {correlation:.2f}, {limit}"
        )
    return found


def _contrast(scan: Image, stripped: Stripped, contrast: str) -> list[str]:
    ratio = rim_to_core(scan, stripped.mask)
    if ratio is None:
        return []
    measured = "T1" if ratio < RIM_TO_CORE[0] else "T2" if ratio > RIM_TO_CORE[1] else "neither T1 nor T2"
    if measured == contrast:
        return []
    return [f"said to be {contrast}w but looks like {measured}: grey rim over white core is {ratio:.2f}"]


def _mm(values: Array) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
