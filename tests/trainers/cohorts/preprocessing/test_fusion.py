"""Fusion of views: an analytic band-limited volume, the formula of the weights, and planted faults."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainers.cohorts.geometry import displacement
from trainers.cohorts.preprocessing import fusion, registration
from trainers.cohorts.preprocessing.fusion import ViewImage, fuse, inverse_variances
from trainers.cohorts.preprocessing.registration import Image
from trainers.cohorts.preprocessing.view_registration import register_view
from trainers.data.arrays import Array
from trainers.data.views import NORMAL, View

MOVES: dict[View, Array] = {
    "axial": np.eye(4),
    "coronal": displacement((2, -1, 1.5), (1.5, -1, 0.7)),
    "sagittal": displacement((-1, 2, -2), (-0.8, 1.2, 1.6)),
}
THICK, THIN, SIZE = 5.0, 1.6, 80.0
SLAB = THICK / np.sqrt(8 * np.log(2))
RADIUS = 32.0
"""Of the brain, a ball (mm)."""


class Waves:
    """A volume in closed form: the mean of cosines of 8 to 30 mm."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        directions = rng.standard_normal((60, 3))
        lengths = rng.uniform(8, 30, (60, 1))
        self.waves = 2 * np.pi * directions / np.linalg.norm(directions, axis=1, keepdims=True) / lengths
        self.phases = rng.uniform(0, 2 * np.pi, 60)

    def at(
        self, points: Array, deviations: tuple[float, ...] = (0, 0, 0), turn: Array | None = None
    ) -> Array:
        """Values at points [..., 3], after a Gaussian of these deviations (mm) along x, y, z, ``turn``ed."""
        along = self.waves if turn is None else self.waves @ turn.T
        heights = np.exp(-0.5 * ((along * deviations) ** 2).sum(1))
        return np.cos(points @ self.waves.T + self.phases) @ heights / np.sqrt(len(heights) / 2) * 0.2 + 0.5


def points_of(shape: tuple[int, ...], affine: Array) -> Array:
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def scan(waves: Waves, view: View, noise: float = 1.0) -> ViewImage:
    """What a scanner of the stated slab and blur shows of a moved volume, without noise."""
    sizes = np.full(3, THIN)
    sizes[NORMAL[view]] = THICK
    shape = tuple(int(n) for n in np.ceil(SIZE / sizes))
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * sizes
    blur = np.full(3, fusion.BLUR * THIN)
    blur[NORMAL[view]] = SLAB
    move = MOVES[view]
    points = points_of(shape, affine)
    there = points @ np.linalg.inv(move)[:3, :3].T + np.linalg.inv(move)[:3, 3]
    values = waves.at(there, tuple(blur), move[:3, :3]).astype(np.float32)
    brain = (there**2).sum(-1) < RADIUS**2
    return ViewImage(Image(values * brain, affine), brain, move, noise)


@pytest.fixture(scope="module")
def views() -> dict[View, ViewImage]:
    return {view: scan(Waves(), view) for view in NORMAL}


@pytest.fixture(scope="module")
def grid(views: dict[View, ViewImage]) -> Image:
    return fusion.isotropic_grid(views["axial"].image, views["axial"].brain, THIN)


def psnr(image: Image, inner: float = RADIUS - 4) -> float:
    """Against the volume itself, inside the brain; a range of 1."""
    points = points_of(image.values.shape, image.affine)
    inside = (points**2).sum(-1) < inner**2
    return float(-10 * np.log10(((image.values - Waves().at(points))[inside] ** 2).mean()))


def test_three_views_recover_a_band_limited_volume(views: dict[View, ViewImage], grid: Image) -> None:
    single = [psnr(fuse([view], grid).image) for view in views.values()]
    first = fuse(list(views.values()), grid)
    assert psnr(first.image) > 30 and psnr(first.image) > max(single) + 5
    assert first.residuals[-1] < 0.2 * first.residuals[0]
    assert (np.diff(first.residuals) < 0).all()


def test_weights_are_inverse_variances_and_constant_views_have_their_closed_form(
    views: dict[View, ViewImage], grid: Image
) -> None:
    assert inverse_variances([1, 2, 2]) == pytest.approx((2 / 3, 1 / 6, 1 / 6))
    levels, noises = np.array([0.4, 0.5, 0.8]), (0.1, 0.2, 0.3)
    constant = [
        replace(view, image=Image(np.full_like(view.image.values, level), view.image.affine), noise=noise)
        for view, level, noise in zip(views.values(), levels, noises, strict=True)
    ]
    found, weights = fuse(constant, grid), np.array(inverse_variances(noises))
    mean = weights @ levels
    inside = (points_of(grid.values.shape, grid.affine) ** 2).sum(-1) < (RADIUS - 12) ** 2
    assert found.weights == pytest.approx(tuple(weights))
    np.testing.assert_allclose(found.image.values[inside], mean, atol=0.01)
    np.testing.assert_allclose(found.disagreement[inside], np.sqrt(weights @ (levels - mean) ** 2), rtol=0.05)


def test_one_view_is_its_own_resampling(views: dict[View, ViewImage], grid: Image) -> None:
    view = views["coronal"]
    found = fuse([view], grid)
    expected = registration.resample(view.image, grid, view.to_view)
    np.testing.assert_array_equal(found.image.values, expected)
    assert not found.disagreement.any() and found.weights == (1.0,)


@pytest.mark.parametrize("fault", ["lesion", "shift"])
def test_a_fault_of_one_view_is_where_they_disagree(
    fault: str, views: dict[View, ViewImage], grid: Image
) -> None:
    view = views["sagittal"]
    points = points_of(view.image.values.shape, view.image.affine)
    values = view.image.values.copy()
    at = np.array([0.0, -10, 8])
    near = ((points - at) ** 2).sum(-1) < 8**2
    values[near] = values[near] + 0.4 if fault == "lesion" else np.roll(values, 3, axis=1)[near]
    faulty = replace(view, image=Image(values, view.image.affine))
    usual = fuse(list(views.values()), grid).disagreement
    found = fuse([views["axial"], views["coronal"], faulty], grid).disagreement
    places = points_of(grid.values.shape, grid.affine)
    back = places @ view.to_view[:3, :3].T + view.to_view[:3, 3]
    away = np.sqrt(((back - at) ** 2).sum(-1))
    inside = (places**2).sum(-1) < (RADIUS - 4) ** 2
    core, rest = found[inside & (away < 6)], found[inside & (away > 16)]
    assert core.mean() > 5 * rest.mean() and core.mean() > 5 * usual[inside & (away < 6)].mean()


def test_noise_is_estimated_in_the_plane_of_the_slices() -> None:
    view = scan(Waves(), "coronal")
    noise = 0.05 * np.random.default_rng(1).standard_normal(view.image.values.shape)
    image = Image(view.image.values + noise, view.image.affine)
    assert fusion.noise_of(image, view.brain) == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("view", ["coronal", "sagittal"])
def test_views_are_registered_to_a_tenth_of_a_millimetre(view: View, views: dict[View, ViewImage]) -> None:
    fixed, moving = views["axial"], views[view]
    found = register_view(fixed.image, moving.image, fixed.brain)
    points = points_of(fixed.brain.shape, fixed.image.affine)[fixed.brain]
    error = points @ (found - moving.to_view)[:3, :3].T + (found - moving.to_view)[:3, 3]
    assert np.sqrt((error**2).sum(1)).mean() < 0.1
