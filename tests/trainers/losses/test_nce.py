"""PatchNCE against its definition written as loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.losses import nce


def _unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_patch_nce_is_its_definition(temperature: float) -> None:
    query, key = _unit(2, 7, 5), _unit(2, 7, 5, seed=1)
    q, v = query.double().numpy(), key.double().numpy()
    expected = np.empty((2, 7))
    for b in range(2):
        for p in range(7):
            similarities = [math.exp(float(q[b, p] @ v[b, other]) / temperature) for other in range(7)]
            expected[b, p] = -math.log(similarities[p] / sum(similarities))
    np.testing.assert_allclose(nce.patch_nce(query, key, temperature), expected, rtol=2e-5, atol=1e-5)


def test_a_match_costs_least_chance_is_log_p_and_other_images_and_keys_do_not_count() -> None:
    key = _unit(2, 64, 32)
    match = nce.patch_nce(key, key)
    assert bool((match < nce.patch_nce(key.roll(1, 1), key)).all())
    blind = F.normalize(torch.ones(2, 64, 32), dim=-1)
    np.testing.assert_allclose(nce.patch_nce(_unit(2, 64, 32), blind), math.log(64), rtol=1e-5)
    query, key = _unit(3, 8, 4), _unit(3, 8, 4, seed=1)
    alone = torch.cat([nce.patch_nce(query[b : b + 1], key[b : b + 1]) for b in range(3)])
    np.testing.assert_allclose(nce.patch_nce(query, key), alone, rtol=1e-5)
    query, key = _unit(1, 8, 4).requires_grad_(), _unit(1, 8, 4, seed=1).requires_grad_()
    torch.autograd.backward(nce.patch_nce(query, key).sum())
    assert key.grad is None and query.grad is not None and float(query.grad.abs().sum()) > 0


@pytest.mark.parametrize("inside", [0, 3, 20])
def test_positions_are_different_and_fall_back_to_the_background(inside: int) -> None:
    mask = torch.zeros(2, 6, 6, dtype=torch.bool)
    mask.view(2, -1)[:, :inside] = True
    positions = nce.sample_positions(mask, 24)
    assert positions.shape == (2, 24) and all(len(set(row.tolist())) == 24 for row in positions)
    assert [(row < inside).sum() for row in positions] == [min(24, inside)] * 2
    assert nce.sample_positions(mask, 100).sort(1).values.tolist() == [list(range(36))] * 2


def test_positions_are_uniform_over_the_mask_to_its_last_pixel() -> None:
    mask = torch.zeros(4000, 4, 4, dtype=torch.bool)
    mask[:, 1:3] = True
    counts = nce.sample_positions(mask, 2, torch.Generator().manual_seed(0)).flatten().bincount(minlength=16)
    assert counts[4:12].sum() == 8000
    chi_squared = float(((counts[4:12] - 1000.0) ** 2 / 1000).sum())
    assert chi_squared < 24.3  # 7 degrees of freedom, p = .001
    # Masks with exactly as many pixels as requested: every draw is the whole mask.
    torch.manual_seed(0)
    order = torch.rand(16, 128 * 128).argsort(1)[:, :256]
    mask = torch.zeros(16, 128 * 128, dtype=torch.bool).scatter(1, order, True)
    positions = nce.sample_positions(mask.view(16, 128, 128), 256)
    assert torch.equal(positions.sort(1).values, order.sort(1).values)


def test_gathering_is_indexing_and_a_shrunk_mask_keeps_every_cell_with_a_pixel() -> None:
    features, positions = torch.randn(2, 3, 4, 5), torch.tensor([[0, 19, 7], [6, 6, 13]])
    gathered = nce.gather_positions(features, positions)
    for b in range(2):
        for p in range(3):
            row, column = divmod(int(positions[b, p]), 5)
            assert torch.equal(gathered[b, p], features[b, :, row, column])
    for size in ((4, 4), (12, 6), (3, 2)):
        mask = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0)) > 0.9
        expected = mask.view(3, size[0], 12 // size[0], size[1], 12 // size[1]).any(4).any(2)
        shrunk = nce.shrink_mask(mask, size)
        assert shrunk.dtype == torch.bool and torch.equal(shrunk, expected)
        assert 0 < int(expected.sum()) < expected.numel() or size == (3, 2)
