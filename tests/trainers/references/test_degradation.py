"""The degradation is recovered from images that were degraded by a known one, of other people."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trainers.data.arrays import Array
from trainers.data.degrader import blurred, grainy, mapped
from trainers.errors import InputError
from trainers.references import degradation
from trainers.references.degradation import Subject

TISSUES = np.array([[0.85, 0.08], [0.5, 0.25], [0.05, 0.75]])
"""T1 and T2 at 3 T of white matter, grey matter and CSF."""
TRUE = np.array([[0.5, -0.1], [-0.5, 1.0], [0.3, 0.1], [0.1, 0.0]])


def person(rng: np.random.Generator, ventricles: float, cortex: float) -> tuple[Array, Array]:
    """Tissue labels [N, H, W] of nested folded spheres; sizes relative to the brain's radius."""
    z, y, x = np.meshgrid(np.linspace(-0.7, 0.7, 8), *[np.linspace(-1.1, 1.1, 72)] * 2, indexing="ij")
    folds = 4 * gaussian_filter(rng.standard_normal(z.shape), (1, 2, 2))
    radius = np.sqrt(x**2 + y**2 + z**2)
    labels = np.where(radius + 0.15 * folds > 1 - cortex, 1, 0)
    labels = np.where(radius + 0.2 * folds > 1 - 0.3 * cortex, 2, labels)
    labels = np.where(radius + 0.1 * folds < ventricles, 2, labels)
    return labels, radius < 1


def subjects(
    seed: int, ventricles: float, cortex: float, count: int = 12
) -> list[tuple[Array, Array, Array]]:
    """Labels, images [3, N, H, W] at 3 T with the brain's share, and masks."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        size = rng.uniform(0.8, 1.2, 2)
        labels, brain = person(rng, ventricles * size[0], cortex * size[1])
        images = np.moveaxis(TISSUES[labels], -1, 0) * brain
        found.append((labels, np.concatenate((images, brain[None].astype(float))), brain))
    return found


@pytest.mark.parametrize(("ventricles", "cortex", "more"), [(0.3, 0.2, 0.95), (0.36, 0.22, 1.15)])
def test_the_map_is_recovered_though_the_people_differ(ventricles: float, cortex: float, more: float) -> None:
    """Other people of the same population, and of one with a sixth more CSF."""
    high, people = subjects(1, ventricles=0.3, cortex=0.2), subjects(2, ventricles, cortex)
    low: list[Subject] = [
        (np.stack([mapped(s, TRUE) for s in images.swapaxes(0, 1)], 1), b) for _, images, b in people
    ]
    shares = [np.mean(np.concatenate([la[b] for la, _, b in group]) == 2) for group in (high, people)]
    assert shares[1] > more * shares[0]
    found = degradation.fit_map([(images, brain) for _, images, brain in high], low)
    pure = np.c_[TISSUES, np.ones((3, 2))]
    assert np.abs(pure @ found - pure @ TRUE).max() < 0.05


@pytest.mark.parametrize(("blur", "noise", "grain"), [(0.6, 0.03, 0.4), (1.2, 0.015, 0.8)])
def test_blur_and_noise_are_recovered_from_the_spectra_of_other_people(
    blur: float, noise: float, grain: float
) -> None:
    rng = np.random.default_rng(0)

    def group(degraded: bool) -> list[Subject]:
        textures = 0.5 + 0.3 * blurred(rng.standard_normal((2, 40 * 96, 96)), np.array([0.7, 0.7]))
        if degraded:
            textures = blurred(textures, np.full(2, blur))
            textures += grainy(rng, textures.shape, np.full(2, noise), np.full(2, grain))
        return [(textures.reshape(2, 40, 96, 96), np.ones((40, 96, 96), bool))]

    sharp, low = degradation.spectra(group(False)), degradation.spectra(group(True))
    for found in map(degradation.fit_blur, sharp, low):
        assert found == pytest.approx((blur, noise, grain), rel=0.1)


def test_spectra_are_of_squares_in_the_brain_and_refuse_brains_without_any() -> None:
    rng = np.random.default_rng(0)
    images, brain = 0.2 * rng.standard_normal((2, 30, 60, 60)), np.zeros((30, 60, 60), bool)
    brain[:, 4:50, 4:50] = True
    power = degradation.spectra([(np.where(brain, images, 9.0), brain)])
    assert power[:, 3:-3, 3:-3].mean() == pytest.approx(0.04, rel=0.03)
    brain[:, ::20] = False
    with pytest.raises(InputError, match=r"lambda_restore: needs brains in which 24 x 24 pixels fit"):
        degradation.spectra([(images, brain)])


def test_cells_are_places_in_the_box_of_the_brain_alike_on_both_sides() -> None:
    brain = np.zeros((16, 40, 30), bool)
    brain[:, 8:32, 6:26] = True
    cell = degradation.cells(brain)
    assert np.array_equal(cell[:, :, 6:26], cell[:, :, 6:26][:, :, ::-1])
    assert cell[0, 8, 15] == 0 and cell[-1, 31, 6] == np.prod(degradation.CELLS) - 1
    assert len(np.unique(cell[brain])) == np.prod(degradation.CELLS)
    moved = degradation.cells(np.roll(brain, (3, -4), (1, 2)))
    assert np.array_equal(moved[:, 11:35, 2:22], cell[:, 8:32, 6:26])
