"""The template of the second anatomy: the MNI152 tissue maps as signed distances to surfaces.

Distances survive a warp better than the probabilities of an average brain, whose sulci are closed: a
subject's tissues have sharp edges, and its cortex the thickness that it is given.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import ndimage

from trainers.cohorts.simulation.anatomy import deep_weight, tissue_files
from trainers.data.arrays import Array

THICKNESS = 2.4
"""Of the template's cortex (mm)."""
REACH = 8.0
"""Distances to the cortex's surfaces are cut off here (mm)."""
LIMITS = (1.8, 3.0)
"""Least and greatest thickness (mm) of the template's cortex, where both surfaces' fit left another one."""
INNER = 0.2
"""Share of a change of thickness that the inner surface makes: the average brain's cortex is thick because
its sulci are closed, and its white matter has its size already."""
_SHALLOW = 0.3  # mm by which an average brain's sulci are narrow: both surfaces lie deeper
_SKULL = 0.8  # mm by which the T1 map's edge is blurred outwards
_NEAR, _FAR = 14.0, 30.0
_LINING = 2.0  # mm of white matter around ventricles
_SPECK = 150  # voxels
_DEBLUR, _BLUR = 6.0, 2.0  # weight and deviation (mm) of an unsharp mask: an average brain's gyri are short
_WHITE = 0.4  # least surplus of white matter over grey, once sharpened
_CSF_PRIOR = 0.8  # weight of fluid against tissue in the averaged maps
_CSF_BELOW = 0.3  # the same below the tentorium, whose fissures are drawn
_STEM = 0.715  # least T1 there of white matter: the maps call most of the brain stem grey
_BRAIN = 0.2  # of the T1 map's maximum: nilearn's own brain mask
_MIRROR = 98  # plane of x = 0 in the 1 mm maps, which are symmetric about it
_MARGIN = 10  # planes beyond it, as far as distances reach
_LEAVES = 9  # of the cerebellum, a radian
_CREST = 0.62  # least slope of a distance: below it, two banks of a sulcus meet


@dataclass(frozen=True)
class Surfaces:
    """Signed distances (mm) ``[5, X, Y, Z]``, positive inside, and the RAS ``affine`` of their grid.

    In the order of ``LEVELS``: white matter with all that it encloses, brain within the pial surface, deep
    grey matter, ventricles, and the brain with its cisterns.
    """

    levels: Array
    affine: Array

    @property
    def spacing(self) -> Array:
        """Voxel size (mm) ``[3]``."""
        return np.diag(self.affine)[:3]


LEVELS = ("white", "pial", "deep", "ventricle", "brain")


WHITE, PIAL, DEEP, VENTRICLE, BRAIN = range(len(LEVELS))


@lru_cache(maxsize=1)
def template_surfaces(size: str) -> Surfaces:
    """The template on a grid of even sizes: 1 mm, or 2 x 2 x 1 mm for ``2mm``; cached."""
    return on_grid(template_at_1mm(), size)


def template_at_1mm() -> Surfaces:
    """The template on the grid of the maps, cropped to even sizes."""
    half, affine = _right_half()
    levels = _unfold(half)
    x, y, z = (n // 2 * 2 for n in levels.shape[1:])
    return Surfaces(levels[:, :x, :y, :z], affine)


@cache
def _right_half() -> tuple[Array, Array]:
    """The five distances of the maps' right half with a margin, and the maps' affine; cached: 95 MB.

    A process that images both anatomies needs it twice.
    """
    import nibabel

    images = {kind: nibabel.load(path) for kind, path in tissue_files().items()}
    affine = np.asarray(images["t1"].affine, dtype=np.float64)
    half = slice(_MIRROR - _MARGIN, None)
    t1, grey, white = (np.asarray(images[k].dataobj[half], np.float32) / 255 for k in ("t1", "gm", "wm"))
    moved = affine.copy()
    moved[0, 3] += half.start
    return _levels(t1, grey, white, moved), affine


def on_grid(fine: Surfaces, size: str) -> Surfaces:
    """Surfaces at 1 mm on the grid of a ``size``: means of 2 x 2 x 1 voxels for ``2mm``."""
    levels, affine = fine.levels, fine.affine
    if size == "2mm":
        levels = (levels[:, ::2] + levels[:, 1::2]) / 2
        levels = (levels[:, :, ::2] + levels[:, :, 1::2]) / 2
        affine = affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    return Surfaces(np.ascontiguousarray(levels, np.float32), affine)


def below_tentorium(affine: Array, shape: tuple[int, ...]) -> Array:
    """Voxels ``[X, Y, Z]`` of cerebellum and brain stem: below a roof that falls to back and sides."""
    x, y, z = _axes(affine, shape)
    roof = np.interp(y, (-95, -80, -65, -50, -35, -18, -5), (-14, -5, 0, 3, 1, -8, -60))
    fall = np.interp(y, (-70, -45), (0.4, 0.65))
    return np.asarray(z < roof[:, None] - fall[:, None] * np.abs(x)[:, None, None])


def _axes(affine: Array, shape: tuple[int, ...]) -> list[Array]:
    """Positions (mm) along each axis."""
    return [affine[k, k] * np.arange(n) + affine[k, 3] for k, n in enumerate(shape)]


def _unfold(half: Array) -> Array:
    """Right half ``[C, x, Y, Z]`` with a margin beyond the middle -> both halves."""
    right = half[:, _MARGIN:]
    return np.concatenate([right[:, _MIRROR:0:-1], right], axis=1)


def _levels(t1: Array, grey: Array, white: Array, affine: Array) -> Array:
    """The five distances of maps ``[X, Y, Z]`` at 1 mm."""
    deep = grey * deep_weight(grey.shape, affine) > 0.5
    fluid = np.clip(1 - grey - white, 0, 1)
    brain = _closed(t1 >= _BRAIN, 4)
    lower = below_tentorium(affine, grey.shape)
    inside = _without_specks((grey + white > np.where(lower, _CSF_BELOW, _CSF_PRIOR) * fluid) & brain)
    ventricle, lined = _ventricles(~inside & brain, affine)
    surplus = white - grey
    surplus += _DEBLUR * (surplus - ndimage.gaussian_filter(surplus, _BLUR))
    bright = np.where(lower, t1 > _STEM, surplus > _WHITE)
    core = _without_specks((bright & inside) | deep | lined)
    inside |= core
    white_level = distance(core)
    sulci = _crests(white_level) & inside & (white_level < -1.2) & (white_level > 1 - REACH)
    moved = fit_thickness(white_level, distance(inside & ~sulci), ~lower)
    white_level, pial = (distance(level > 0) for level in moved)
    thinnest, thickest = LIMITS
    fitted = np.clip(white_level, pial - thickest, np.where(lined | deep, REACH, pial - thinnest))
    white_level = np.where(lower, white_level, fitted)
    pial = np.where(lower, np.minimum(pial, _folia(white_level, affine)), pial)
    shallow = np.float32(_SHALLOW) * ~lower
    skull = distance(brain, _FAR) - np.float32(_SKULL)
    return np.stack(
        [white_level - shallow, pial - shallow, distance(deep), distance(ventricle, _NEAR), skull]
    )


def fit_thickness(white: Array, pial: Array, where: Array | float = 1.0) -> tuple[Array, Array]:
    """Both surfaces moved so that the cortex between them is ``THICKNESS``, ``where`` is 1: mostly the inner.

    ``pial - white`` is the thickness at each place of the cortex, as one is negative there.
    """
    excess = np.clip(pial - white - THICKNESS, -REACH, REACH) * where
    excess = ndimage.uniform_filter(excess, 3)
    return white + INNER * excess, pial - (1 - INNER) * excess


def _folia(white: Array, affine: Array) -> Array:
    """Distance (mm) to the fissures of the cerebellum, which the average brain lacks: leaves of a fan.

    They stand about an axis from left to right in its middle, bend forward at the sides, and end 2 mm
    before the white matter.
    """
    x, y, z = (each.astype(np.float32) for each in _axes(affine, white.shape))
    back = (y + 48)[:, None] - (x**2 / 150)[:, None, None]
    up = z + 32
    radius, angle = np.hypot(back, up), np.arctan2(up, -back) * _LEAVES
    away = radius / _LEAVES * np.abs(angle - np.round(angle)) + 0.4
    front = y[:, None] + 38 + 0.5 * (z + 20)
    return np.asarray(np.maximum(np.maximum(away, white + 2.0), front))


def _without_specks(region: Array) -> Array:
    """A region without its small islands and its small holes."""
    for wanted in (True, False):
        parts, count = ndimage.label(region == wanted)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        specks = (sizes < _SPECK)[parts] & (region == wanted)
        region = region ^ specks
    return region


def distance(inside: Array, reach: float = REACH) -> Array:
    """Signed distance (voxels) to the surface of a region, positive inside, up to ``reach``.

    The surface lies half a voxel beyond the region's outermost voxels.
    """
    spans = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {k}))) for k in range(3)]
    margin = int(reach) + 1
    box = tuple(slice(max(0, int(span[0]) - margin), int(span[-1]) + 1 + margin) for span in spans)
    found, part = np.full(inside.shape, -reach, np.float32), inside[box]
    rim = part & ~ndimage.binary_erosion(part, border_value=1)
    away = ndimage.distance_transform_edt(~rim)
    found[box] = np.clip(np.where(part, 0.5 + away, 0.5 - away), -reach, reach)
    return found


def _crests(level: Array) -> Array:
    """Where a distance has a crest: its slope is no longer one."""
    slope = np.sqrt(sum(np.square(each) for each in np.gradient(level)))
    return np.asarray(slope < _CREST)


def _ventricles(fluid: Array, affine: Array) -> tuple[Array, Array]:
    """The largest connected part of ``fluid`` in the boxes of the ventricles; all near the lateral ones."""
    x, y, z = np.ix_(*_axes(affine, fluid.shape))
    front = (np.abs(x) < 30) & (y > -20) & (y < 36) & (z > -2) & (z < 34)
    back = (np.abs(x) > 8) & (np.abs(x) < 34) & (y > -52) & (y <= -20) & (z > -2) & (z < 34)
    parts, count = ndimage.label(fluid & (front | back))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    found = parts == 1 + sizes[1:].argmax()
    return found, (distance(found) > -_LINING) & ((np.abs(x) > 5) | (z > 8))


def _closed(region: Array, radius: int) -> Array:
    """Closing, as the template's T1 is dark in the cisterns, which belong to the brain."""
    ball = ndimage.generate_binary_structure(3, 1)
    grown = ndimage.binary_dilation(region, ball, radius)
    return np.asarray(ndimage.binary_erosion(grown, ball, radius, border_value=1))
