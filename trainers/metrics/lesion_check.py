"""Lesions in an output against those in its input, without a map of where they are.

A region stands out where, in both contrasts together, it differs from what is around it by more than that
varies. It has vanished where the input shows it and the output does not, appeared where it is the other way
round. Compared are the output and what is expected of it from the input
(:func:`trainers.metrics.outliers.expected`), in the output's units.

1. Regions are connected voxels of a map of deviations (:func:`trainers.metrics.outliers.deviations`) beyond
   a level, for several levels; those farther than ``EDGE`` from the brain's edge, of ``LEAST`` or more.
2. A region's contrast is its mean less the median of what is around it, ``GAP`` to ``REACH`` mm away in the
   plane and not itself deviating. Both contrasts are weighted by the inverse robust deviation of what is
   around it (in the image that shows the region).
3. It stands out where the contrast is ``CLEAR`` such deviations or more in one of both contrasts, and
   ``FAINT`` or more in [0, 1]. Kept is the weighted sum of the other image's contrasts in the same
   directions, relative.
4. Vanished or appeared is what stands out, of which less than ``KEPT`` or ``SHOWN`` is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from trainers.data.arrays import Array
from trainers.metrics import outliers
from trainers.metrics.outliers import Images, Spacing

Kind = Literal["kept", "vanished", "appeared"]
LEVELS: Mapping[Kind, tuple[float, ...]] = {
    "kept": (2.0, 4.0, 8.0),
    "vanished": (4.0, 5.6, 8.0),
    "appeared": (5.6, 8.0),
}
"""Of the map of deviations, in its own units."""
LEAST = 0.2
"""Volume (ml) below which a region is none: 40 mm^2 of a slice of 5 mm."""
EDGE = 4.0
"""Distance (mm, in the plane) from the brain's edge below which masks, not lesions, differ."""
GAP, REACH = 2.0, 10.0
"""From where to where (mm, in the plane) what is around a region is looked for."""
QUIET = 1.5
"""Deviation above which a voxel is not taken as what is around a region."""
CLEAR, FAINT = 1.5, 0.05
KEPT, SHOWN = 0.4, 0.3
_FEWEST = 10  # voxels around a region
_FLOOR = 0.01  # of a robust deviation, in [0, 1]
_STRUCTURE = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True, eq=False)
class Region:
    """What stands out in one of both images."""

    kind: Kind
    mask: Array
    """[N, H, W] bool."""
    ml: float
    before: Mapping[str, float]
    """Contrast of the expected output to what is around it, in the output's [0, 1], by contrast."""
    after: Mapping[str, float]
    """The output's own."""
    clear: float
    """The greater contrast in robust deviations of what is around, in the image that shows it."""
    kept: float
    """Share of that image's contrast that the other one has: 1 all, 0 none, below 0 inverted."""
    extent: float
    """Voxels beyond half of the region's own height, in the output over the input."""

    @property
    def place(self) -> Array:
        """Its centre [3]: slice, row, column."""
        return np.argwhere(self.mask).mean(0)


@dataclass(frozen=True)
class Report:
    """The comparison of one visit."""

    standing: Sequence[Region]
    """What stands out in the input and not on its other side."""
    changed: Sequence[Region]
    """What vanished, then what appeared; each the largest first."""

    @property
    def kept(self) -> float:
        """Median share of contrast that the output has of what stands out in the input; NaN of none."""
        return float(np.median([r.kept for r in self.standing])) if self.standing else np.nan

    @property
    def extent(self) -> float:
        """Median extent, likewise."""
        return float(np.median([r.extent for r in self.standing])) if self.standing else np.nan


def compare(before: Images, after: Images, brain: Array, spacing: Spacing) -> Report:
    """Compare an output with its input: volumes [N, H, W] in [0, 1] by contrast, ``brain`` [N, H, W] bool.

    ``spacing`` in mm along the axes. A visit of 25 slices takes about a second.
    """
    seen, made = (outliers.in_plane(each, brain, spacing) for each in (before, after))
    wanted = outliers.expected(seen, made, brain)
    scene = _Scene(wanted, made, brain, spacing)
    maps = outliers.directions(outliers.deviations(wanted, made, brain, spacing))
    vanished = scene.regions("vanished", maps, KEPT)
    appeared = scene.regions("appeared", maps, SHOWN)
    sides = outliers.directions(outliers.one_sided(wanted, brain, spacing))
    return Report(scene.regions("kept", sides, np.inf), [*vanished, *appeared])


@dataclass(frozen=True, eq=False)
class _Scene:
    """Both images of a visit, comparable."""

    wanted: Images
    made: Images
    brain: Array
    spacing: Spacing

    def regions(self, kind: Kind, maps: Sequence[Array], most: float) -> list[Region]:
        """What stands out of signed ``maps`` and of which less than ``most`` is kept, the largest first.

        Of regions that overlap, that of the lowest level: it is the whole of it.
        """
        found: list[Region] = []
        taken, inner = np.zeros(self.brain.shape, bool), self._inner
        for level in LEVELS[kind]:
            for values in maps:
                for box, mask in self._components((values > level) & inner):
                    region = None if taken[box][mask].any() else self._region(kind, box, mask, values)
                    if region and region.kept < most:
                        found.append(region)
                        taken |= region.mask
        return sorted(found, key=lambda region: -region.ml)

    @property
    def _inner(self) -> Array:
        return np.stack([_depth(plane, self.spacing) > EDGE for plane in self.brain])

    @property
    def _voxel(self) -> float:
        """Volume (ml)."""
        return float(np.prod(self.spacing)) / 1000

    def _components(self, where: Array) -> Iterator[tuple[tuple[slice, ...], Array]]:
        """Box, wider by ``REACH``, and mask in it of each connected part that is large enough."""
        labels, count = ndimage.label(where, _STRUCTURE)
        sizes = np.bincount(labels.ravel(), minlength=count + 1) * self._voxel
        margin = [0, *(int(np.ceil(REACH / d)) for d in self.spacing[1:])]
        for number, tight in enumerate(ndimage.find_objects(labels), 1):
            if sizes[number] >= LEAST - 1e-9:
                box = tuple(
                    slice(max(0, s.start - m), s.stop + m) for s, m in zip(tight, margin, strict=True)
                )
                yield box, labels[box] == number

    def _region(self, kind: Kind, box: tuple[slice, ...], mask: Array, values: Array) -> Region | None:
        """The region of a ``mask`` in a ``box``, where it stands out in the image that its kind says."""
        around = np.stack([_ring(plane, self.spacing) for plane in mask])
        around &= self.brain[box] & (values[box] < QUIET)
        if around.sum() < _FEWEST:
            return None
        shown, other = (self.made, self.wanted) if kind == "appeared" else (self.wanted, self.made)
        contrasts = [
            {c: _contrast(x[box], mask, around) for c, x in images.items()} for images in (shown, other)
        ]
        spread = {c: _robust(x[box][around]) for c, x in shown.items()}
        clear = max(abs(contrasts[0][c]) / spread[c] for c in spread)
        if clear < CLEAR or max(map(abs, contrasts[0].values())) < FAINT:
            return None
        total = sum(abs(contrasts[0][c]) / spread[c] for c in spread)
        kept = sum(np.sign(contrasts[0][c]) * contrasts[1][c] / spread[c] for c in spread) / total
        before, after = contrasts[::-1] if kind == "appeared" else contrasts
        whole = np.zeros(self.brain.shape, bool)
        whole[box] = mask
        extent = self._extent(box, mask | (around & ~mask), mask, around)
        return Region(kind, whole, float(mask.sum()) * self._voxel, before, after, clear, float(kept), extent)

    def _extent(self, box: tuple[slice, ...], near: Array, mask: Array, around: Array) -> float:
        """Voxels beyond half of its height in the output over those in the input, by the clearer contrast."""
        heights = {c: _contrast(x[box], mask, around) for c, x in self.wanted.items()}
        clearest = max(heights, key=lambda c: abs(heights[c]) / _robust(self.wanted[c][box][around]))
        counts = []
        for images in (self.made, self.wanted):
            cut = images[clearest][box]
            height, normal = _contrast(cut, mask, around), float(np.median(cut[around]))
            same = height * heights[clearest] > 0
            beyond = np.sign(height) * (cut[near] - normal) > abs(height) / 2
            counts.append(float(beyond.sum()) if same else 0.0)
        return counts[0] / counts[1] if counts[1] else np.nan


def _depth(plane: Array, spacing: Spacing) -> Array:
    """Distance (mm) of each pixel [H, W] to the nearest one outside; beyond the slice is outside."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(plane, 1), spacing[1:])[1:-1, 1:-1])


def _ring(plane: Array, spacing: Spacing) -> Array:
    """Pixels ``GAP`` to ``REACH`` mm from those of a mask [H, W]; none of an empty one."""
    if not plane.any():
        return np.zeros_like(plane)
    away = ndimage.distance_transform_edt(~plane, spacing[1:])
    return (away > GAP) & (away <= REACH)


def _contrast(image: Array, mask: Array, around: Array) -> float:
    return float(image[mask].mean() - np.median(image[around]))


def _robust(values: Array) -> float:
    """1.4826 times the median absolute deviation, and a floor."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + _FLOOR
