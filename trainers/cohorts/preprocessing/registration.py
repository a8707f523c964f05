"""Rigid and affine registration by ANTs, bit for bit repeatable; transforms are 4x4 matrices in RAS mm.

ANTs is exact only with a seed and one thread (DATA.md traps 1 and 2), so subjects run in parallel. Its
Mattes metric is kept: the reproducible presets turn an aligned pair by 6 degrees (trap 3).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainers.data.arrays import Array
from trainers.errors import InputError

SEED = 1
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHEAR = 1e-3


@dataclass(frozen=True)
class Image:
    """A volume ``values [X, Y, Z]`` and its 4x4 ``affine``, voxels to RAS mm."""

    values: Array
    affine: Array

    @property
    def spacing(self) -> Array:
        """Voxel sizes (mm) along the array's axes."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    def cropped(self, cut: tuple[slice, ...]) -> "Image":
        """The part of the volume in a box of slices."""
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [span.start for span in cut]
        return Image(self.values[cut], affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


@dataclass(frozen=True)
class Schedule:
    """Multi-resolution levels of a registration, coarse to fine."""

    iterations: tuple[int, ...]
    shrink: tuple[int, ...]
    smooth: tuple[int, ...]
    sampling: float = 0.2
    """Share of the voxels that the metric samples."""


PITCHES = (-20.0, 20.0)
"""Degrees of head nodding that are tried as starts."""
TESTED_TURNS = tuple((axis, degrees) for axis in range(3) for degrees in (-25.0, 25.0, -90.0, 90.0, 180.0))
"""Axis and degrees by which a failed registration may be off."""
WARNING_RATIO = 1.5
"""Ratio of fit that raises a warning: correct registrations of two people reach at most 0.5, one off by 90
degrees 3."""
COARSE = Schedule((200, 100, 50), (4, 2, 1), (2, 1, 0))
FINE = Schedule((100, 20), (4, 2), (2, 1), sampling=0.1)


def register(
    fixed: Image,
    moving: Image,
    kind: Literal["Rigid", "Affine"],
    schedule: Schedule,
    mask: Array | None = None,
    start: Array | None = None,
) -> Array:
    """The 4x4 matrix that takes RAS points of ``fixed`` to those of ``moving``.

    Mattes mutual information (Mattes et al. 2003), from ``start`` (default: the centres of mass aligned);
    ``mask`` restricts it on the fixed grid. Raises InputError for a sheared grid, which ITK does not support,
    and for images that ANTs cannot register.
    """
    ants = load_ants()
    with tempfile.TemporaryDirectory() as folder:  # ANTs leaves its output files behind
        initial = None if start is None else _write_matrix(ants, start, Path(folder) / "start.mat")
        images = to_ants(ants, fixed), to_ants(ants, moving)
        try:
            result = ants.registration(
                *images,
                type_of_transform=kind,
                initial_transform=initial,
                outprefix=str(Path(folder) / "t"),
                mask=None if mask is None else to_ants(ants, Image(mask, fixed.affine)),
                mask_all_stages=True,
                aff_metric="mattes",
                aff_random_sampling_rate=schedule.sampling,
                aff_iterations=schedule.iterations,
                aff_shrink_factors=schedule.shrink,
                aff_smoothing_sigmas=schedule.smooth,
            )
        except RuntimeError as error:  # the reason is on stderr
            raise InputError(f"cannot be registered ({error}); allowed: scans that show one head") from error
        return _matrix(ants.read_transform(result["fwdtransforms"][0]))


def schedule_for(fixed: Image) -> Schedule:
    """Levels down to about 1.6 to 2 mm: on a rigid pair an error below 0.2 mm at 64 mT, 0.1 mm at 1 mm."""
    return FINE if min(fixed.spacing) < 1.3 else COARSE


def rigid(fixed: Image, moving: Image, region: Array) -> Array:
    """:func:`register` two scans of heads rigidly, by ``region`` of the fixed one, from the best start."""
    start = best_start(fixed, moving, region)
    return register(fixed, moving, "Rigid", schedule_for(fixed), region, start)


def best_start(fixed: Image, moving: Image, mask: Array) -> Array:
    """The start of a rigid registration with most mutual information inside ``mask`` on the fixed grid.

    Candidates: the headers' alignment, and the centres of mass aligned, with the head nodding by 0 and by
    ``PITCHES`` degrees, as its pose differs between scanners.
    """
    from_, to = _centre_of_mass(fixed), _centre_of_mass(moving)
    turned = [_pitched(degrees, from_, to) for degrees in (0, *PITCHES)]
    step = max(1, mask.sum() // 50_000)
    points = np.argwhere(mask)[::step]

    def information(start: Array) -> float:
        matrix = np.linalg.inv(moving.affine) @ start @ fixed.affine
        positions = points @ matrix[:3, :3].T + matrix[:3, 3]
        return mutual_information(fixed.values[tuple(points.T)], sample(moving.values, positions))

    return max((np.eye(4), *turned), key=information)


def rotation_warnings(fixed: Image, moved: Array, region: Array) -> list[str]:
    """A warning if ``moved``, registered to ``fixed`` on its grid, fits clearly better after a rotation.

    Tested by mutual information: 25, 90 and 180 degrees about each axis through the middle of ``region``.
    """
    points = np.argwhere(region)[:: max(1, region.sum() // 30_000)]
    positions = points @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]
    middle, values = positions.mean(0), fixed.values[tuple(points.T)]
    back = np.linalg.inv(fixed.affine)

    def information(matrix: Array) -> float:
        voxels = ((positions - middle) @ matrix.T + middle) @ back[:3, :3].T + back[:3, 3]
        return mutual_information(values, sample(moved, voxels))

    fits = {turn: information(rotation(*turn)) for turn in TESTED_TURNS}
    best = max(fits, key=lambda turn: fits[turn])
    if fits[best] - 1 <= WARNING_RATIO * (information(np.eye(3)) - 1):
        return []
    return [
        f"its registration is doubtful: turned by {best[1]:g} degrees about {'xyz'[best[0]]} it fits better"
    ]


def mutual_information(x: Array, y: Array, bins: int = 32) -> float:
    """Normalised mutual information (H(X) + H(Y)) / H(X, Y) of paired samples: 1 none, 2 all.

    Studholme et al. 1999, on a joint histogram between the 0.5th and 99.5th percentiles.
    """
    ranges = [tuple(np.percentile(values, (0.5, 99.5))) for values in (x, y)]
    if any(low >= high for low, high in ranges):
        return 1.0
    clipped = [np.clip(values, *bounds) for values, bounds in zip((x, y), ranges, strict=True)]
    joint = np.histogram2d(clipped[0], clipped[1], bins=bins)[0] / len(x)
    return joint_information(joint)


def joint_information(joint: Array) -> float:
    """Normalised mutual information of a joint histogram of shares."""
    alone, both = sum(_entropy(joint.sum(axis)) for axis in (0, 1)), _entropy(joint)
    return float(alone / both) if both else 1.0


def sample(values: Array, voxels: Array) -> Array:
    """``values [X, Y, Z]`` at the positions ``voxels [n, 3]``, linearly; 0 beyond the edge."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(values, voxels.T, order=1, output=np.float32))


def resample(moving: Image, like: Image, fixed_to_moving: Array, order: Literal[1, 3] = 3) -> Array:
    """``moving`` at the voxels of ``like``, in one interpolation: B-splines of ``order``; 0 beyond its edge.

    Splines overshoot at edges, so the result stays within the range of ``moving``. On its own grid it is
    returned unchanged.
    """
    from scipy.ndimage import affine_transform

    values = moving.values.astype(np.float32, copy=False)
    matrix = np.linalg.inv(moving.affine) @ fixed_to_moving @ like.affine
    if values.shape == like.values.shape and np.allclose(matrix, np.eye(4), atol=1e-4):
        return values
    resampled = affine_transform(
        values, matrix, output_shape=like.values.shape, order=order, mode="grid-constant"
    )
    return np.asarray(np.clip(resampled, values.min(), values.max(), out=resampled))


def rotation(axis: int, degrees: float) -> Array:
    """3x3 rotation matrix about an axis of RAS."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def _pitched(degrees: float, from_: Array, to: Array) -> Array:
    """The rotation about the left-right axis that takes the point ``from_`` to the point ``to``."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(0, degrees)
    matrix[:3, 3] = to - matrix[:3, :3] @ from_
    return matrix


def _entropy(shares: Array) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def _centre_of_mass(image: Image) -> Array:
    weights = np.clip(image.values, 0, None).astype(np.float64)
    sums = [weights.sum(tuple({0, 1, 2} - {axis})) @ np.arange(n) for axis, n in enumerate(weights.shape)]
    return np.asarray(image.affine[:3, :3] @ (np.array(sums) / weights.sum()) + image.affine[:3, 3])


def load_ants() -> Any:
    """The library, set to give the same bits in every run."""
    os.environ |= {"ANTS_RANDOM_SEED": str(SEED), "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    import ants

    return ants


def to_ants(ants: Any, image: Image) -> Any:
    """The image as an ANTs image; raises InputError for a sheared grid."""
    lps = _RAS_TO_LPS @ image.affine
    direction = lps[:3, :3] / image.spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > _SHEAR:
        raise InputError("its affine is sheared; allowed: axes at right angles")
    return ants.from_numpy(
        image.values.astype(np.float32), lps[:3, 3].tolist(), image.spacing.tolist(), direction
    )


def _write_matrix(ants: Any, matrix: Array, path: Path) -> str:
    lps = _RAS_TO_LPS @ matrix @ _RAS_TO_LPS
    parameters = [*lps[:3, :3].ravel().tolist(), *lps[:3, 3].tolist()]
    transform = ants.new_ants_transform(transform_type="AffineTransform", dimension=3, parameters=parameters)
    ants.write_transform(transform, str(path))
    return str(path)


def _matrix(transform: Any) -> Array:
    """ITK's y = A (x - c) + c + t in LPS as one matrix in RAS."""
    parameters, centre = np.array(transform.parameters), np.array(transform.fixed_parameters)
    lps = np.eye(4)
    lps[:3, :3] = parameters[:9].reshape(3, 3)
    lps[:3, 3] = parameters[9:] + centre - lps[:3, :3] @ centre
    return np.asarray(_RAS_TO_LPS @ lps @ _RAS_TO_LPS)
