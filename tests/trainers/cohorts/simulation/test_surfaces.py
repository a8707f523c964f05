import numpy as np
import pytest

from trainers.cohorts.simulation import morphology, person, surfaces
from trainers.cohorts.simulation.site import Site

AXES = np.indices((41, 43, 45)) - np.array([20, 21, 22])[:, None, None, None]
AWAY = np.sqrt((AXES**2).sum(0))


def test_the_distance_to_a_ball_is_that_of_its_centre_less_the_radius() -> None:
    found = surfaces.distance(AWAY < 12)
    near = np.abs(12 - AWAY) < 6
    assert np.abs(found - (12 - AWAY))[near].max() < 1
    assert found.max() == surfaces.REACH and found.min() == -surfaces.REACH


@pytest.mark.parametrize("thickness", [1.5, 2.5, 6.0])
def test_a_flat_cortex_gets_its_thickness_from_both_sides(thickness: float) -> None:
    x = np.tile(np.arange(40.0)[:, None, None], (1, 8, 8))
    white, pial = surfaces.fit_thickness(15 - x, 15 + thickness - x)
    middle = slice(12, 24)
    np.testing.assert_allclose((pial - white)[middle], surfaces.THICKNESS, atol=1e-6)
    moved = surfaces.INNER * (surfaces.THICKNESS - thickness)
    np.testing.assert_allclose((white - (15 - x))[middle], -moved, atol=1e-6)


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.3])
def test_a_subjects_flat_cortex_has_the_templates_mean_thickness_however_it_was_scaled(scale: float) -> None:
    """Less what atrophy takes from the pial surface; the folds of both surfaces leave it as it is."""
    x, atrophy = np.tile(np.arange(40.0)[:, None, None], (1, 40, 40)), 0.2
    far = np.full_like(x, -9)
    levels = np.stack([20 - x, 20 + surfaces.THICKNESS - x, far, far, 40 - x]).astype(np.float32)
    site, spacing = Site("any", (atrophy, atrophy)), np.full(3, scale)
    args = (np.random.default_rng(1), site, spacing, np.zeros(x.shape), np.full(x.shape, scale, np.float32))
    levels *= np.float32(scale)
    morphology.vary_surfaces(levels, *args)
    cortex = (levels[1] - levels[0])[10:30]
    assert cortex.mean() == pytest.approx(surfaces.THICKNESS - atrophy, abs=0.25)
    assert cortex.min() > 1.5 and cortex.max() < 4.5


def test_fractions_are_those_that_surfaces_cut_off_and_sum_to_one() -> None:
    levels = np.stack([10 - AWAY, 13 - AWAY, 4 - AWAY, np.full_like(AWAY, -9), 30 - AWAY]).astype(np.float32)
    fractions = person.tissue_fractions(levels, 1.0)
    np.testing.assert_allclose(fractions.sum(0), 1, atol=1e-6)
    assert fractions.min() >= 0

    def ball(radius: float) -> float:
        return float(4 / 3 * np.pi * radius**3)

    expected = [ball(10) - ball(4), ball(13) - ball(10), ball(4)]
    np.testing.assert_allclose(fractions[:3].sum((1, 2, 3)), expected, rtol=0.02)
    levels[3] = 6 - AWAY  # a ventricle fills what is inside it
    fractions = person.tissue_fractions(levels, 1.0)
    assert fractions[2].sum() < 1 and fractions[3][AWAY < 5].min() == 1


def test_distances_are_found_once_a_process_and_each_template_is_its_own_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = surfaces.template_at_1mm()
    monkeypatch.setattr(surfaces, "_levels", lambda *maps: pytest.fail("found again"))
    kept = first.levels.copy()
    first.levels[:] = 0
    np.testing.assert_array_equal(surfaces.template_at_1mm().levels, kept)
