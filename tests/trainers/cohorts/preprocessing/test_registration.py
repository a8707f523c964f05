"""Known displacements are recovered; resampling and mutual information against their closed forms."""

import tempfile
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from tests.trainers.cohorts.geometry import axes, displacement
from trainers.cohorts.preprocessing import registration
from trainers.cohorts.preprocessing.examination import dilate
from trainers.cohorts.preprocessing.registration import (
    COARSE,
    FINE,
    Image,
    Schedule,
    best_start,
    mutual_information,
    register,
    resample,
    schedule_for,
)
from trainers.cohorts.simulation import anatomy, imaging, physics, subject
from trainers.cohorts.simulation.physics import Contrast, Field
from trainers.data.arrays import Array
from trainers.errors import InputError

QUICK = Schedule((100, 50), (2, 1), (1, 0), sampling=0.3)


KNOWN = displacement((5, 0, 0), (4, -3, 2))


def moved(image: Image, move: Array) -> Image:
    """The same voxels elsewhere: RAS points of the still image go to ``move @ point``."""
    return Image(image.values, move @ image.affine)


def world(points: Array, matrix: Array) -> Array:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def error(found: Array, true: Array, points: Array) -> float:
    """Mean target registration error (mm) at RAS ``points``."""
    return float(np.linalg.norm(world(points, found) - world(points, true), axis=1).mean())


def positions(mask: Array, affine: Array) -> Array:
    return world(np.argwhere(mask)[::20], affine)


@cache
def person() -> subject.Anatomy:
    """The template itself as a phantom's anatomy at 1 mm."""
    template = anatomy.tissue_template("1mm")
    mask = template.mask > 0.5
    fractions = np.zeros((5, *mask.shape), np.float32)
    fractions[:4] = subject.sharpen(template.tissues, np.zeros((4, 1, 1, 1), np.float32))
    texture = np.ones(mask.shape, np.float32)
    tissues = MappingProxyType(physics.RELAXATION)
    return subject.Anatomy(fractions * mask, mask, template.affine, 1.0, texture, tissues, 0)


@cache
def brain(field: Field, contrast: Contrast) -> Image:
    """A phantom's brain: 1 mm at 3 T, 1.6 x 1.6 x 5 mm at 64 mT."""
    geometry, rng = imaging.Geometry.of("1mm", person().affine), np.random.default_rng(len(field + contrast))
    volume = imaging.acquire(person(), geometry, field, contrast, rng)
    return Image(volume.values, volume.affine)


def aligned(field: Field, move: Array) -> tuple[Array, float]:
    """T2 moved by ``move`` and registered to T1 as by the platform: the matrix, and its mean error (mm)."""
    t1, t2 = brain(field, "T1"), moved(brain(field, "T2"), move)
    region = dilate(t1.values > 0, t1.spacing)
    found = register(t1, t2, "Rigid", schedule_for(t1), region, best_start(t1, t2, region))
    return found, error(found, move, positions(t1.values > 0, t1.affine))


def test_known_displacements_are_recovered_at_64_mt_and_1_mm() -> None:
    found, off = aligned("64mT", np.eye(4))
    assert off < 0.3
    assert Rotation.from_matrix(found[:3, :3]).magnitude() < np.deg2rad(0.3)
    assert brain("64mT", "T1").spacing == pytest.approx((1.6, 1.6, 5))
    assert aligned("64mT", KNOWN)[1] < 0.3
    assert schedule_for(brain("3T", "T1")) is FINE and schedule_for(brain("64mT", "T1")) is COARSE
    assert aligned("3T", KNOWN)[1] < 0.15


BLOBS = np.random.default_rng(3).uniform(-40, 40, (30, 3))
HEIGHTS = np.linspace(0.3, 1.2, 30)


def blobs(points: Array) -> Array:
    """A lopsided smooth body about the origin (mm), the same on every grid that it is sampled on."""
    square = ((points[..., None, :] - BLOBS) ** 2).sum(-1)
    return np.asarray((HEIGHTS * np.exp(-square / (2 * 8.0**2))).sum(-1))


def grid(code: str, shape: tuple[int, int, int], spacing: float, turn: Array) -> Array:
    """An affine about the origin whose axes point to the letters of ``code``, then rotated."""
    affine = axes(code, (spacing,) * 3)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return np.asarray(turn @ affine)


def body(affine: Array, shape: tuple[int, int, int], true: Array) -> Image:
    """The body on a grid, after its points moved by ``true``."""
    points = world(np.moveaxis(np.indices(shape), 0, -1), np.linalg.inv(true) @ affine)
    return Image(blobs(points).astype(np.float32), affine)


SHAPE = (32, 32, 32)
STILL = body(grid("RAS", SHAPE, 4.5, np.eye(4)), SHAPE, np.eye(4))
INSIDE = positions(STILL.values > 0.2, STILL.affine)


@pytest.mark.parametrize("code", ["LPS", "PIL", "SRA"])
def test_flipped_and_oblique_grids_are_where_their_affines_say(code: str) -> None:
    true = displacement((4, -6, 8), (6, -8, 5))
    shape = (33, 35, 37)
    other = body(grid(code, shape, 4.4, displacement((10, -15, 20), (0, 0, 0))), shape, true)
    assert error(register(STILL, other, "Rigid", QUICK), true, INSIDE) < 0.15
    assert error(register(other, STILL, "Rigid", QUICK), np.linalg.inv(true), world(INSIDE, true)) < 0.15


def test_a_scaling_is_recovered_by_an_affine() -> None:
    true = displacement((0, 5, 0), (3, 2, -4)) @ np.diag([1.08, 0.93, 1.05, 1])
    other = body(STILL.affine, SHAPE, true)
    found = register(STILL, other, "Affine", QUICK)
    assert error(found, true, INSIDE) < 0.4
    scales = np.linalg.norm(found[:3, :3], axis=0)
    np.testing.assert_allclose(scales, (1.08, 0.93, 1.05), atol=0.01)
    rigid = register(STILL, other, "Rigid", QUICK)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-5)


def test_two_runs_are_the_same_bits_leave_no_files_and_a_sheared_grid_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = body(STILL.affine, SHAPE, KNOWN)
    runs = [register(STILL, other, "Rigid", QUICK, STILL.values > 0.1, KNOWN) for _ in range(2)]
    assert (runs[0] == runs[1]).all()
    assert list(tmp_path.iterdir()) == []
    affine = STILL.affine.copy()
    affine[0, 1] = 0.5
    with pytest.raises(InputError, match="sheared; allowed: axes at right angles"):
        register(STILL, Image(STILL.values, affine), "Rigid", QUICK)


def test_the_start_is_by_the_headers_or_the_centres_of_mass() -> None:
    true = displacement((3, 0, 0), (40, -10, 5))
    other, mask = moved(STILL, true), STILL.values > 0.1
    start = best_start(STILL, other, mask)
    weights = STILL.values.astype(float)
    middle = world((np.argwhere(weights > -1) * weights.reshape(-1, 1)).sum(0) / weights.sum(), STILL.affine)
    np.testing.assert_allclose(
        world(middle, start), world(middle, true), atol=1e-4
    )  # the centres are aligned
    np.testing.assert_array_equal(start[:3, :3], np.eye(3))
    assert error(register(STILL, other, "Rigid", QUICK, mask, start), true, INSIDE) < 0.15
    # Half of the body is out of view: its centre of mass is elsewhere, the body is not.
    half = Image(STILL.values[16:], STILL.affine @ displacement((0, 0, 0), (16, 0, 0)))
    np.testing.assert_array_equal(best_start(STILL, half, STILL.values > 0.1), np.eye(4))


LINEAR = np.array([0.5, -0.25, 0.125])


def linear(affine: Array, shape: tuple[int, int, int], matrix: Array) -> Array:
    """A linear function of the RAS points to which ``matrix`` takes the voxels' positions."""
    points = world(np.moveaxis(np.indices(shape), 0, -1), matrix @ affine)
    return np.asarray(points @ LINEAR + 100)


@pytest.mark.parametrize("code", ["RAS", "LPS", "PIL", "IAR"])
@pytest.mark.parametrize("order, rim", [(1, 1e-6), (3, 12)])
def test_linear_intensities_are_resampled_exactly(order: Literal[1, 3], rim: float, code: str) -> None:
    shape, target = (50, 52, 54), (17, 19, 21)
    source = grid(code, shape, 1.5, displacement((5, 10, -15), (1, 2, 3)))
    like = grid("RAS", target, 2.0, displacement((-8, 4, 12), (0, 1, 0)))
    move = displacement((5, 0, 0), (4, -3, 2))
    scan = Image(linear(source, shape, np.eye(4)).astype(np.float32), source)
    found = resample(scan, Image(np.empty(target), like), move, order)
    voxels = world(np.moveaxis(np.indices(target), 0, -1), np.linalg.inv(source) @ move @ like)
    inside = ((voxels >= rim) & (voxels <= np.array(shape) - 1 - rim)).all(-1)
    assert found.shape == target and inside.mean() > 0.5
    np.testing.assert_allclose(found[inside], linear(like, target, move)[inside], atol=2e-4)


def test_beyond_the_edge_is_black_splines_do_not_overshoot_and_samples_are_linear() -> None:
    values = np.zeros((20, 20, 20), np.float32)
    values[5:15, 5:15, 5:15] = 1
    like = Image(np.empty((60, 40, 40)), np.diag([0.5, 0.5, 0.5, 1.0]))
    found = resample(Image(values, np.eye(4)), like, displacement((0, 0, 0), (0.2, 0, 0)))
    assert found.min() == 0 and found.max() == 1
    np.testing.assert_allclose(found[42:], 0, atol=1e-4)  # what is left of a spline
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    samples = registration.sample(values, np.array([[0, 0, 0], [0.5, 1, 1], [1, 1.5, 2.25], [3, 0, 0]]))
    np.testing.assert_allclose(samples, [0, 6 + 5, 12 + 6 + 2.25, 0])
    turned = displacement((10, 20, 30), (1, 2, 3)) @ np.diag([-1.6, 1.6, 5.0, 1])
    image = Image(np.empty((2, 2, 2)), turned)
    np.testing.assert_allclose(image.spacing, (1.6, 1.6, 5))
    assert image.voxel_ml == pytest.approx(1.6 * 1.6 * 5 / 1000)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_on_its_own_grid_an_image_is_unchanged(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 200, (5, 6, 7)).astype(dtype)
    affine = grid("LPS", (5, 6, 7), 2.0, displacement((3, 4, 5), (6, 7, 8)))
    found = resample(Image(values, affine), Image(np.empty((5, 6, 7)), affine), np.eye(4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))
    move = displacement((0, 0, 0), (1, 0, 0))
    assert (resample(Image(values, affine), Image(np.empty((5, 6, 7)), affine), move) != values).any()


def test_mutual_information_has_closed_forms_and_is_symmetric_and_invariant_to_scale() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(200_000), rng.random(200_000)
    assert mutual_information(x, x) == pytest.approx(2, abs=1e-9)
    assert mutual_information(x, y) == pytest.approx(1, abs=1e-3)
    assert mutual_information(x, np.ones_like(x)) == 1
    rng = np.random.default_rng(1)
    x = rng.random(50_000)
    y = x + 0.3 * rng.random(50_000)
    found = mutual_information(x, y)
    assert 1.1 < found < 1.9
    assert mutual_information(y, x) == pytest.approx(found, rel=1e-12)
    for other in (3 * y - 7, -y):
        assert mutual_information(x, other) == pytest.approx(found, abs=2e-3)
    # Two fair coins that agree three times in four: 2 ln 2 over the entropy of (3, 3, 1, 1) / 8.
    x, y = np.repeat([[0, 0, 1, 1], [0, 1, 0, 1]], (3000, 1000, 1000, 3000), axis=1)
    joint = np.array([3, 3, 1, 1]) / 8
    expected = 2 * np.log(2) / -(joint * np.log(joint)).sum()
    assert mutual_information(x, y) == pytest.approx(expected, rel=1e-9)
    assert mutual_information(x, np.exp(5.0 * y)) == pytest.approx(expected, rel=1e-9)  # any monotone map


@pytest.mark.parametrize("turn", [(25, 0, 0), (0, -25, 0), (0, 0, 90), (180, 0, 0), (0, 180, 0), (0, 0, 180)])
def test_a_registration_off_by_a_large_rotation_is_warned_of(turn: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    image = Image(gaussian_filter(rng.normal(size=(40, 44, 36)), 2.5), np.diag([4.0, 4, 4, 1]))
    region = np.zeros(image.values.shape, bool)
    region[8:-8, 8:-8, 8:-8] = True
    middle = world(np.argwhere(region), image.affine).mean(0)
    matrix = displacement(turn, (0, 0, 0))
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle
    other = np.exp(image.values / image.values.std())  # another contrast
    assert registration.rotation_warnings(image, other, region) == []
    moved_other = resample(Image(other, image.affine), image, matrix)
    (line,) = registration.rotation_warnings(image, moved_other, region)
    assert "doubtful: turned by" in line
