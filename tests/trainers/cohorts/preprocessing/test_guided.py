"""The guided filter, where its windows have a closed form."""

import numpy as np
import pytest

from trainers.cohorts.preprocessing.guided import RIDGE, guided
from trainers.data.arrays import Array

SHAPE = (24, 26, 22)


@pytest.fixture
def brain() -> Array:
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    return np.asarray((grid**2).sum(0) < 0.8)


def noise(seed: int) -> Array:
    return np.random.default_rng(seed).uniform(0, 1, SHAPE).astype(np.float32)


def test_an_affine_function_of_the_guides_is_returned_whatever_lies_outside(brain: Array) -> None:
    first, second = noise(1), noise(2)
    contrast = 0.2 + 0.5 * first - 0.3 * second
    odd = np.where(brain, contrast, 7).astype(np.float32)
    found = guided(odd, [np.where(brain, first, -3), np.where(brain, second, 9)], brain, 2.0)
    assert first.var() > 100 * RIDGE
    np.testing.assert_allclose(found[brain], contrast[brain], atol=2e-3)
    np.testing.assert_array_equal(found[~brain], odd[~brain])


def test_detail_that_no_guide_has_is_not_taken_over(brain: Array) -> None:
    guide, invented = noise(1), noise(3) - 0.5
    found = guided(guide + 0.5 * invented, [guide], brain, 2.0)
    kept = np.corrcoef((found - guide)[brain], invented[brain])[0, 1] * (found - guide)[brain].std()
    assert abs(kept) < 0.1 * 0.5 * invented[brain].std()
