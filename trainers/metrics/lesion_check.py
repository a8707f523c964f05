"""Lesions in an output against those in its input, without a map of where they are.

Compared are the output and what its input lets expect of it (:func:`trainers.metrics.outliers.expected`),
both smoothed, in the output's units.

1. Regions are connected voxels of a map of deviations (:func:`trainers.metrics.outliers.deviations`) beyond a
   level, for several levels; those farther than ``EDGE`` from the brain's edge, of ``LEAST`` or more.
2. A region's contrast is its mean less the median of what is around it, ``GAP`` to ``REACH`` mm away in the
   plane and not itself deviating. Its clearness is the contrast in robust deviations of what is around, the
   greater one of both image contrasts, in the image that shows it: the expected one where it vanished, the
   output where it appeared. Less than ``CLEAR`` or ``FAINT`` is no region.
3. Kept is the sum of the other image's contrasts in the same directions over the sum of its own, both in
   robust deviations of what is around.
4. Vanished or appeared is a region of which less than ``KEPT`` is kept, with ``EVIDENCE``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy import ndimage

from trainers.data.arrays import Array
from trainers.metrics import outliers
from trainers.metrics.outliers import Images, Spacing

Kind = Literal["standing", "vanished", "appeared"]
LEVELS: Mapping[Kind, tuple[float, ...]] = MappingProxyType(
    {"standing": (2.0, 4.0, 8.0), "vanished": (2.8, 4.0, 5.6, 8.0), "appeared": (4.0, 5.6, 8.0)}
)
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
STANDING = 2.0
"""That of what stands out in the input and not on its other side."""
FAINT = 0.03
"""Least contrast of a region in [0, 1]."""
KEPT: Mapping[Kind, float] = MappingProxyType({"vanished": 0.4, "appeared": 0.3})
"""Share of the contrast below which a region is lost in the other image."""
EVIDENCE: Mapping[Kind, float] = MappingProxyType({"vanished": 14.0, "appeared": 24.0})
"""Least evidence: the greatest deviation times powers of the volume (ml) and of the clearness."""
LARGE, CLEARLY = 0.2, 0.3
"""Those powers. Chosen, as all of these, on phantoms (tests/bench/pathology.py): 0.06 and 0 false alarms a
person there."""
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
    """Its contrast to what is around it, in the output's [0, 1], by image contrast, where it stands out."""
    other: Mapping[str, float]
    """The same in the other image: the output, or for what appeared the expected one."""
    clear: float
    """The greater contrast in robust deviations of what is around."""
    kept: float
    """Share of the contrast that the other image has: 1 all, 0 none, below 0 inverted."""
    extent: float
    """Voxels in and around it beyond half of its height, in the output over the expected one."""
    peak: float
    """Greatest deviation."""

    @property
    def place(self) -> Array:
        """Its centre [3]: slice, row, column."""
        return np.asarray(np.argwhere(self.mask).mean(0))


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
    wanted = outliers.expected(before, after, brain, spacing)
    wanted, made = (outliers.in_plane(each, brain, spacing) for each in (wanted, after))
    scene = _Scene(wanted, made, brain, spacing)
    maps = outliers.directions(outliers.deviations(scene.wanted, scene.made, brain, spacing))
    changed = [*scene.regions("vanished", maps), *scene.regions("appeared", maps)]
    sides = outliers.directions(outliers.one_sided(scene.wanted, brain, spacing))
    return Report(scene.regions("standing", sides), changed)


def is_lost(region: Region) -> bool:
    """Whether what stands out in one image is so clear, and so little of it in the other, that it is lost."""
    evidence = region.peak * region.ml**LARGE * region.clear**CLEARLY
    return region.kept < KEPT[region.kind] and evidence >= EVIDENCE[region.kind]


@dataclass(frozen=True, eq=False)
class _Scene:
    """What the input lets expect of the output, and the output."""

    wanted: Images
    made: Images
    brain: Array
    spacing: Spacing

    def regions(self, kind: Kind, maps: Sequence[Array]) -> list[Region]:
        """What stands out in signed ``maps`` and, unless it is ``standing``, is lost; the largest first.

        Of regions that overlap, that of the lowest level: it is the whole of it.
        """
        found: list[Region] = []
        taken, inner = np.zeros(self.brain.shape, bool), self._inner
        for level in LEVELS[kind]:
            for values in maps:
                for box, mask in self._components((values > level) & inner):
                    region = None if taken[box][mask].any() else self._region(kind, box, mask, values)
                    if region and (region.clear >= STANDING if kind == "standing" else is_lost(region)):
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
        away = np.stack([_away(plane, self.spacing) for plane in mask])
        near = self.brain[box] & (away <= REACH)
        around = near & (away > GAP) & (values[box] < QUIET)
        if around.sum() < _FEWEST:
            return None
        pair = (self.made, self.wanted) if kind == "appeared" else (self.wanted, self.made)
        shown, other = ({c: _contrast(x[box], mask, around) for c, x in images.items()} for images in pair)
        spread = {c: _robust(x[box][around]) for c, x in pair[0].items()}
        clear = max(abs(shown[c]) / spread[c] for c in spread)
        if clear < CLEAR or max(map(abs, shown.values())) < FAINT:
            return None
        total = sum(abs(shown[c]) / spread[c] for c in spread)
        kept = sum(np.sign(shown[c]) * other[c] / spread[c] for c in spread) / total
        whole = np.zeros(self.brain.shape, bool)
        whole[box] = mask
        size, peak = float(mask.sum()) * self._voxel, float(values[box][mask].max())
        clearest = max(spread, key=lambda c: abs(shown[c]) / spread[c])
        extent = self._extent(clearest, box, mask, near, around)
        return Region(kind, whole, size, shown, other, clear, float(kept), extent, peak)

    def _extent(
        self, contrast: str, box: tuple[slice, ...], mask: Array, near: Array, around: Array
    ) -> float:
        """Voxels in and ``near`` a region beyond half of its height, in the output over the expected one."""
        sign, counts = 0.0, []
        for images in (self.wanted, self.made):
            image = images[contrast][box]
            height, normal = _contrast(image, mask, around), float(np.median(image[around]))
            sign = sign or float(np.sign(height))
            beyond = sign * (image[near] - normal) > abs(height) / 2
            counts.append(float(beyond.sum()) if sign * height > 0 else 0.0)
        return counts[1] / counts[0] if counts[0] else np.nan


def _depth(plane: Array, spacing: Spacing) -> Array:
    """Distance (mm) of each pixel [H, W] to the nearest one outside; beyond the slice is outside."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(plane, 1), spacing[1:])[1:-1, 1:-1])


def _away(plane: Array, spacing: Spacing) -> Array:
    """Distance (mm) of each pixel [H, W] to those of a mask; infinite from an empty one."""
    if not plane.any():
        return np.full(plane.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~plane, spacing[1:]))


def _contrast(image: Array, mask: Array, around: Array) -> float:
    return float(image[mask].mean() - np.median(image[around]))


def _robust(values: Array) -> float:
    """1.4826 times the median absolute deviation, and a floor."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) + _FLOOR
