import numpy as np
import pytest

from trainers.cohorts.simulation import artefacts
from trainers.cohorts.simulation.imaging import Geometry
from trainers.cohorts.simulation.scan import in_slices
from trainers.data.arrays import Array

AFFINE = np.diag([2.0, 2.0, 1.0, 1.0])
SHAPE = (60, 70, 60)
MM = [((np.arange(n) - (n - 1) / 2) * d).astype(float) for n, d in zip(SHAPE, (2, 2, 1), strict=True)]


def bell(*at: float) -> Array:
    """A blob about a point (mm), 6 mm wide."""
    square = sum((a - c) ** 2 for a, c in zip(np.ix_(*MM), at, strict=True))
    return np.exp(-square / (2 * 6.0**2)).astype(np.float32)


def pose(
    n: int, shift: tuple[float, float, float] = (0, 0, 0), turn: float = 0, far: float = 0
) -> artefacts.Pose:
    return artefacts.Pose(np.tile(shift, (n, 1)).astype(float), np.full(n, turn), far)


def centre(slices: Array) -> Array:
    """Centre of mass in plane (mm)."""
    x, y = ((np.arange(n) - (n - 1) / 2) * 2.0 for n in slices.shape[:2])
    return np.array([np.einsum("x,xyz->", x, slices), np.einsum("y,xyz->", y, slices)]) / slices.sum()


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (pose(60), (20, -10)),
        (pose(60, (1.5, -0.7, 0)), (21.5, -10.7)),
        (pose(60, turn=np.pi / 2), (10, 20)),
        (pose(60, far=4.0), (20 * (1 + 4 / 80**3 * 500), -10 * (1 + 4 / 80**3 * 500))),
    ],
)
def test_a_point_is_depicted_where_the_pose_puts_it(
    moved: artefacts.Pose, expected: tuple[float, float]
) -> None:
    found = artefacts.move_in_plane(bell(20, -10, 0), np.array([2.0, 2.0]), moved)
    np.testing.assert_allclose(centre(found), expected, atol=0.12)


def test_what_moves_up_is_seen_in_a_higher_slice_and_the_profile_is_unchanged() -> None:
    geometry = Geometry((70, 80, 11), (1.6, 1.6, 5.0), AFFINE)
    at = geometry.planes(SHAPE[2]) - (SHAPE[2] - 1) / 2
    for up in (0.0, 2.5):
        slices = in_slices(bell(0, 0, 0), geometry, pose(11, (0, 0, up)))
        weights = slices.sum((0, 1))
        assert (weights @ at) / weights.sum() == pytest.approx(up, abs=0.02)
    assert artefacts.draw_pose(
        np.random.default_rng(0), artefacts.Quality(gradient=(0, 0)), 9, np.zeros(3)
    ).still


def test_a_ghost_lies_half_the_field_of_view_away() -> None:
    image = np.zeros((4, 10, 3), np.float32)
    image[1, 2] = 1
    found = artefacts.ghost(image, 0.1)
    assert found[1, 7, 0] == pytest.approx(0.1) and found[1, 2, 0] == 1 and found.sum() == pytest.approx(3.3)


def test_positions_wander_about_the_mean_by_the_stated_deviation() -> None:
    quality = artefacts.Quality(motion=(0.5, 0.5))
    walks = [artefacts.draw_pose(np.random.default_rng(s), quality, 200, np.ones(3)).shift for s in range(40)]
    stacked = np.array(walks)
    np.testing.assert_allclose(stacked.mean(1), 1, atol=1e-9)
    assert stacked.std() == pytest.approx(0.5 / np.sqrt(1 - 0.5**2), rel=0.05)  # of an autoregression
    assert np.diff(stacked, axis=1).std() == pytest.approx(0.5 / np.sqrt(0.75), rel=0.05)
