"""Edges inside the brain against closed forms, brute force, and invented anatomy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from trainers.data.sampling import whole_slices
from trainers.losses import asp, inner_edges

FULL = torch.ones(1, 40, 40, dtype=torch.bool)


def _step(height: float = 0.5, offset: float = 0.0) -> Tensor:
    """Three channels, the left half below the right one."""
    x = torch.full((1, 3, 40, 40), offset - height / 2)
    x[..., 20:] += height
    return x


def _disc(row: int, column: int, radius: float, shape: tuple[int, int] = (40, 40)) -> Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_the_strength_of_a_step_is_its_height_in_standard_deviations() -> None:
    """Two halves are two standard deviations apart; (6 + 4) / 16 / 2 of a step is left beside it."""
    for height, offset in ((0.5, 0.0), (0.1, -0.7)):
        strength = inner_edges.edge_strength(_step(height, offset), FULL)
        np.testing.assert_allclose(strength[0, 1:-1, 19:21], 2, rtol=1e-4)
        np.testing.assert_allclose(strength[0, 1:-1, 18], 2 * (4 + 1) / (6 + 4), rtol=1e-4)
        assert float(strength[0, :, :17].max()) < 1e-4 and float(strength[0, 0].max()) == 0
    one = _step()
    one[:, 1:] = 0.3 * torch.randn(1, 2, 1, 1).expand(1, 2, 40, 40)
    strength = inner_edges.edge_strength(one, FULL)
    np.testing.assert_allclose(strength[0, 1:-1, 19:21], 2 / math.sqrt(3), rtol=1e-4)


def test_what_lies_outside_the_brain_is_not_looked_at_and_receives_no_gradient() -> None:
    mask = _disc(20, 20, 15)[None]
    generator = torch.Generator().manual_seed(0)
    x, other = torch.randn(2, 1, 3, 40, 40, generator=generator).unbind(0)
    changed = torch.where(mask[:, None], x, 10 * other)
    found = inner_edges.edge_strength(x, mask)
    np.testing.assert_allclose(found, inner_edges.edge_strength(changed, mask), atol=1e-5)
    core = ndimage.binary_erosion(mask[0], np.ones((3, 3)))
    assert np.array_equal(found[0] > 0, core)
    x.requires_grad_()
    inner_edges.inner_edge_loss(x, mask, torch.ones(1, 40, 40)).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum(1)[mask].mean()) > 1e-4
    assert float(x.grad.abs().sum(1)[~mask].max()) == 0


def test_support_reaches_delta_pixels_from_the_inputs_edges() -> None:
    source = _step()
    free = inner_edges.unsupported(source, FULL, delta=2.0, s=0.5)
    edges = inner_edges.edge_strength(source, FULL) > inner_edges.INPUT_STEP
    distance = torch.from_numpy(ndimage.distance_transform_edt(~edges[0].numpy()))
    np.testing.assert_allclose(free[0], 1 - asp.boundary_gate(distance.clamp_max(6), 2.0, 0.5), atol=1e-6)
    assert float(free[0, 20, 18:22].max()) == 0 and float(free[0, 20, 5]) > 0.999


@pytest.mark.parametrize("constant", [False, True])
def test_the_input_costs_nothing_whatever_its_gain_and_gradients_are_finite(constant: bool) -> None:
    source = torch.zeros(1, 3, 40, 40) if constant else _step()
    free = inner_edges.unsupported(source, FULL, 1.0, 0.5)
    for gain, offset in ((1.0, 0.0), (0.4, 0.3), (2.5, -0.2)):
        x = (gain * source + offset).requires_grad_()
        loss = inner_edges.inner_edge_loss(x, FULL, free)
        torch.autograd.backward(loss.sum())
        assert float(loss.detach()) == 0 and x.grad is not None and bool(x.grad.isfinite().all())
    empty = torch.zeros(1, 40, 40, dtype=torch.bool)
    assert float(inner_edges.inner_edge_loss(source, empty, free)) == 0


def test_descent_removes_an_invented_disc_and_leaves_the_step() -> None:
    source, disc = _step(), _disc(20, 8, 4)
    free = inner_edges.unsupported(source, FULL, 1.0, 0.5)
    x = source.clone()
    x[..., disc] += 0.5
    x.requires_grad_()
    first = float(inner_edges.inner_edge_loss(x, FULL, free).detach())
    optimizer = torch.optim.SGD([x], 10.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = inner_edges.inner_edge_loss(x, FULL, free).sum()
        torch.autograd.backward(loss)
        optimizer.step()
    assert first > 0.01 and float(loss.detach()) < 0.1 * first
    np.testing.assert_allclose(x.detach()[..., 16:24], source[..., 16:24], atol=0.1)


def test_the_true_3_t_costs_little_invented_edges_much(tiny: Any) -> None:
    """Per slice of the phantom: input <= truth < truth with invented lesions, blobs, or another's anatomy."""
    split = tiny.cohort.split("val")
    rows = np.arange(0, len(split.slices("3T", "T1")), 3)
    source, truth = (whole_slices(split, domain, "t1_t2_mean", rows).float() for domain in ("64mT", "3T"))
    mask = torch.from_numpy(np.asarray(split.mask("64mT")[rows])).bool()
    large = mask.sum((1, 2)) > 400
    source, truth, mask = source[large], truth[large], mask[large]
    free = inner_edges.unsupported(source, mask, 1.0, 0.5)
    generator = torch.Generator().manual_seed(0)
    lesions = truth.clone()
    for slice_, where in zip(lesions, mask, strict=True):
        places = where.nonzero()
        for place in places[torch.randint(len(places), (3,), generator=generator)].tolist():
            slice_[:, _disc(place[0], place[1], 3.5, truth.shape[2:])] = torch.tensor([[-0.2], [0.9], [0.35]])
    coarse = torch.randn(len(truth), 3, truth.shape[2] // 4, truth.shape[3] // 4, generator=generator)
    blobs = truth + 0.3 * torch.nn.functional.interpolate(coarse, size=truth.shape[2:], mode="bilinear")
    costs = [
        float(inner_edges.inner_edge_loss(x, mask, free).mean())
        for x in (source, truth, lesions, blobs, truth.roll(len(truth) // 2, 0))
    ]
    assert costs[0] == 0 < costs[1] and min(costs[2:]) > 2 * costs[1], costs
