"""The bridge against METHOD.md's table, Brownian covariances and exact Donsker-Varadhan optima."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.losses import bridge

TAU = 0.01
TABLE: dict[int, tuple[list[float], list[float], list[float]]] = {  # METHOD.md 1.1: T -> (t grid, s_i, std_i)
    1: ([0, 1], [1], [0]),
    2: ([0, 0.5, 1], [0.5, 1], [0.050, 0]),
    3: ([0, 0.5, 0.8333, 1], [0.5, 0.6667, 1], [0.050, 0.0333, 0]),
    4: ([0, 0.5, 0.7727, 0.9091, 1], [0.5, 0.5455, 0.6, 1], [0.050, 0.0352, 0.0234, 0]),
    5: ([0, 0.5, 0.74, 0.86, 0.94, 1], [0.5, 0.48, 0.4615, 0.5714, 1], [0.050, 0.0353, 0.0254, 0.0185, 0]),
    6: (
        [0, 0.5, 0.719, 0.8285, 0.9015, 0.9562, 1],
        [0.5, 0.438, 0.3896, 0.4255, 0.5556, 1],
        [0.050, 0.0351, 0.0259, 0.0205, 0.0156, 0],
    ),
    8: (
        [0, 0.5, 0.6928, 0.7893, 0.8535, 0.9017, 0.9403, 0.9725, 1],
        [0.5, 0.3857, 0.3139, 0.305, 0.3292, 0.3925, 0.5385, 1],
        [0.050, 0.0344, 0.0257, 0.0211, 0.018, 0.0153, 0.0122, 0],
    ),
}


@pytest.mark.parametrize("steps", range(1, 9))
def test_grids_are_those_of_the_table_and_end_without_noise(steps: int) -> None:
    grid = bridge.time_grid(steps)
    if steps in TABLE:
        times, fractions, deviations = TABLE[steps]
        np.testing.assert_allclose(grid, times, atol=5.1e-5)
        for i in range(steps):
            assert bridge.bridge_fraction(grid, i) == pytest.approx(fractions[i], abs=5.1e-5)
            assert bridge.bridge_std(grid, i, TAU) == pytest.approx(deviations[i], abs=5.1e-5)
    assert len(grid) == steps + 1 and grid[0] == 0 and grid[-1] == pytest.approx(1, abs=1e-15)
    assert all(a < b for a, b in pairwise(grid))
    assert bridge.bridge_std(grid, steps - 1, 1.0) == pytest.approx(0, abs=1e-7)
    x, xhat, noise = torch.randn(3, 4, dtype=torch.float64).unbind(0)
    np.testing.assert_allclose(bridge.bridge_step(x, xhat, grid, steps - 1, noise, TAU), xhat, atol=1e-7)


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_steps_towards_a_fixed_end_compose_to_the_brownian_bridge(steps: int) -> None:
    """Mean (1 - t) x_0 + t xhat, covariance tau s (1 - t) for s <= t, read off unit noises."""
    grid = bridge.time_grid(steps)
    x0, end = torch.tensor([0.3], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64)
    noise = torch.eye(steps, dtype=torch.float64)
    mean, response, responses = x0, torch.zeros(steps, dtype=torch.float64), []
    for i in range(steps):
        mean = bridge.bridge_step(mean, end, grid, i, None, TAU)
        np.testing.assert_allclose(mean, (1 - grid[i + 1]) * x0 + grid[i + 1] * end, atol=1e-12)
        response = bridge.bridge_step(response, torch.zeros_like(response), grid, i, noise[i], TAU)
        responses.append(response)
    t = np.array(grid[1:])
    expected = TAU * np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t))
    found = torch.stack(responses)
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_log_mean_exp_agrees_with_float64(scale: float) -> None:
    energy = scale * torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    wide = energy.double().numpy()
    expected = wide.max() + np.log(np.exp(wide - wide.max()).mean())
    assert float(bridge.log_mean_exp(energy)) == pytest.approx(expected, rel=1e-6)
    half = energy.to(torch.bfloat16)
    assert float(bridge.log_mean_exp(half)) == pytest.approx(
        float(bridge.log_mean_exp(half.double())), rel=1e-6
    )


COUNTS = torch.tensor([[4, 1, 0], [1, 2, 2], [1, 0, 5]])
"""A joint distribution of two variables in sixteenths; zero entries make the log ratio -infinite: use -40."""


def _samples(table: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair of the joint, and every pair of the product of its marginals, as often as it occurs."""
    own = table.flatten().repeat_interleave(COUNTS.flatten())
    product = torch.outer(COUNTS.sum(1), COUNTS.sum(0))
    return own, table.flatten().repeat_interleave(product.flatten())


def _log_ratio() -> tuple[Tensor, float]:
    joint = COUNTS.double() / COUNTS.sum()
    ratio = (joint / torch.outer(joint.sum(1), joint.sum(0))).log().clamp_min(-40)
    return ratio, float((joint * ratio).sum())


def test_the_log_density_ratio_gives_the_mutual_information_and_with_itself_the_entropy() -> None:
    ratio, information = _log_ratio()
    assert information > 0.3
    assert float(bridge.entropy(*_samples(ratio))) == pytest.approx(information, rel=1e-5)
    assert float(bridge.entropy(*_samples(ratio + 3))) == pytest.approx(information, rel=1e-5)
    for free in (-2, 0, 3):  # the constant that the bound leaves free costs its square
        loss = float(bridge.energy_loss(*_samples(ratio + free)))
        assert loss == pytest.approx(free**2 - information, rel=1e-5)
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 0.3, 3):
        other = ratio + size * torch.randn(3, 3, generator=generator)
        assert float(bridge.entropy(*_samples(other))) < information
        assert float(bridge.energy_loss(*_samples(other))) > -information
    # P = 1/2, 1/4, 1/8, 1/8 has 1.75 bits.
    counts = torch.tensor([4, 2, 1, 1])
    energy = torch.full((4, 4), -60.0)
    energy.diagonal().copy_((8 / counts).log())
    own = energy.diagonal().repeat_interleave(counts)
    cross = energy.flatten().repeat_interleave(torch.outer(counts, counts).flatten())
    assert float(bridge.entropy(own, cross)) == pytest.approx(1.75 * math.log(2), rel=1e-6)


def test_transport_cost_its_weights_and_a_single_step_by_hand() -> None:
    x, xhat = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, -1.0]])
    assert float(bridge.transport_cost(x, xhat)) == pytest.approx((0.25 + 4) / 2)
    weights = {"time": 0.75, "tau": 0.01, "w_cost": 3, "w_ent": 5}
    assert bridge.code_weights(**weights) == pytest.approx((0.01 * 3, -0.01 * 5 * 0.25))
    assert bridge.paper_weights(**weights) == pytest.approx((3, -0.01 * 5 * 0.25))
    x, xhat = torch.randn(2, 3, 4, 4)
    for noise in (None, torch.randn_like(x)):
        assert torch.equal(bridge.bridge_step(x, xhat, [0.0, 1.0], 0, noise, TAU), xhat)


def test_the_paper_form_is_the_papers_loss_over_the_brains_values_for_any_background() -> None:
    """||x_k - x_1||^2 - 2 tau (1 - t_k) H (METHOD.md 1.6), all of it divided by D."""
    x, xhat = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(4, 8, 8, dtype=torch.bool)
    mask[:, :, :5] = True
    xhat = torch.where(mask[:, None], xhat, x)
    values, information, time = 3 * 8 * 5, 2.5, 0.5
    expected = ((x - xhat).flatten(1).norm(dim=1) ** 2).mean() - 2 * TAU * (1 - time) * information
    of_cost, of_entropy = bridge.paper_weights(time, TAU, 1.0, 2 / values)
    for crop in (slice(None), slice(0, 6)):  # with and without black columns
        cost = bridge.brain_cost(x[..., crop], xhat[..., crop], mask[..., crop])
        found = float(of_cost * cost) + of_entropy * information
        assert found == pytest.approx(float(expected) / values, rel=1e-6)
    moved = xhat + (~mask[:, None]).double()  # the background is held as strongly as the brain
    pulled = bridge.brain_cost(x, moved, mask) - bridge.brain_cost(x, xhat, mask)
    assert float(pulled) == pytest.approx(3 / 5, rel=1e-6)
    assert bridge.paper_weights(time, 0.05, 1.0, 1.0)[0] == of_cost  # tau does not move the anchoring
