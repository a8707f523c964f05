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
LEVELS = (2.8, 4.0, 5.6, 8.0)
"""Of the maps, in their own units."""
LEAST = 0.2
"""Volume (ml) below which a region is none: 40 mm^2 of a slice of 5 mm."""
EDGE = 4.0
"""Distance (mm, in the plane) from the brain's edge below which masks, not lesions, differ."""
GAP, REACH = 2.0, 10.0
"""From where to where (mm, in the plane) what is around a region is looked for."""
QUIET = 1.5
"""Deviation above which a voxel is not taken as what is around a region."""
CLEAR = 0.8
"""Least contrast of a region in robust deviations of what is around it."""
FAINT = 0.03
"""Least contrast of a region in [0, 1]."""
KEPT = 0.4
"""Share of the contrast below which a region is lost."""
EVIDENCE: Mapping[Kind, float] = {"vanished": 0.0, "appeared": 0.0}
"""Least product of a region's greatest deviation and the square root of its volume (ml)."""
_FEWEST = 10  # voxels around a region
_FLOOR = 0.01  # of a robust deviation, in [0, 1]
_STRUCTURE = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True, eq=False)
class Region:
    """What stands out in the input or, where it appeared, in the output."""

    kind: Kind
    mask: Array
    """[N, H, W] bool."""
    ml: float
    shown: Mapping[str, float]
    """Its contrast to what is around it, in [0, 1], by contrast, in the image in which it stands out."""
    other: Mapping[str, float]
    """The contrast that the other image lets expect there, in the same units."""
    clear: float
    """The greater contrast in robust deviations of what is around."""
    kept: float
    """Share of the contrast that is expected: 1 all, 0 none, below 0 inverted."""
    extent: float
    """Voxels beyond half of its height, in the expected image over the shown one."""
    peak: float
    """Greatest deviation."""

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
    lost, new = (_Scene.of(*pair, brain, spacing) for pair in ((before, after), (after, before)))
    vanished = lost.regions("vanished", lost.deviations)
    appeared = new.regions("appeared", new.deviations)
    sides = outliers.directions(outliers.one_sided(lost.shown, brain, spacing))
    return Report(lost.regions("kept", sides), [*vanished, *appeared])


@dataclass(frozen=True, eq=False)
class _Scene:
    """An image, and what the other one of the visit lets expect of it."""

    shown: Images
    expected: Images
    brain: Array
    spacing: Spacing

    @classmethod
    def of(cls, shown: Images, other: Images, brain: Array, spacing: Spacing) -> "_Scene":
        """Both smoothed to the detail that is compared."""
        wanted = outliers.expected(other, shown, brain, spacing)
        pair = (outliers.in_plane(each, brain, spacing) for each in (shown, wanted))
        return cls(*pair, brain, spacing)

    @property
    def deviations(self) -> list[Array]:
        """Signed maps of what is shown and not expected."""
        return outliers.directions(outliers.deviations(self.shown, self.expected, self.brain, self.spacing))

    def regions(self, kind: Kind, maps: Sequence[Array]) -> list[Region]:
        """What stands out in signed ``maps`` and is, by its ``kind``, lost in the other image; largest first.

        Of regions that overlap, that of the lowest level: it is the whole of it.
        """
        found: list[Region] = []
        taken, inner = np.zeros(self.brain.shape, bool), self._inner
        for level in LEVELS:
            for values in maps:
                for box, mask in self._components((values > level) & inner):
                    region = None if taken[box][mask].any() else self._region(kind, box, mask, values)
                    if region and (kind == "kept" or is_lost(region)):
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
        """The region of a ``mask`` in a ``box``, where it stands out."""
        around = np.stack([_ring(plane, self.spacing) for plane in mask])
        around &= self.brain[box] & (values[box] < QUIET)
        if around.sum() < _FEWEST:
            return None
        shown, other = (
            {c: _contrast(x[box], mask, around) for c, x in images.items()}
            for images in (self.shown, self.expected)
        )
        spread = {c: _robust(x[box][around]) for c, x in self.shown.items()}
        clear = max(abs(shown[c]) / spread[c] for c in spread)
        if clear < CLEAR or max(map(abs, shown.values())) < FAINT:
            return None
        total = sum(abs(shown[c]) / spread[c] for c in spread)
        kept = sum(np.sign(shown[c]) * other[c] / spread[c] for c in spread) / total
        whole = np.zeros(self.brain.shape, bool)
        whole[box] = mask
        size, peak = float(mask.sum()) * self._voxel, float(values[box][mask].max())
        clearest = max(spread, key=lambda c: abs(shown[c]) / spread[c])
        extent = self._extent(clearest, box, mask, around)
        return Region(kind, whole, size, shown, other, clear, float(kept), extent, peak)

    def _extent(self, contrast: str, box: tuple[slice, ...], mask: Array, around: Array) -> float:
        """Voxels in and around a region beyond half of its height, in the expected image over the shown."""
        near, sign, counts = mask | around, 0.0, []
        for images in (self.shown, self.expected):
            image = images[contrast][box]
            height, normal = _contrast(image, mask, around), float(np.median(image[around]))
            sign = sign or float(np.sign(height))
            beyond = sign * (image[near] - normal) > abs(height) / 2
            counts.append(float(beyond.sum()) if sign * height > 0 else 0.0)
        return counts[1] / counts[0] if counts[0] else np.nan


def is_lost(region: Region) -> bool:
    """Whether a region stands out so much, and so little of it is kept, that it vanished or appeared."""
    evidence = region.peak * np.sqrt(region.ml)
    return region.kept < KEPT and evidence >= EVIDENCE[region.kind]


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
