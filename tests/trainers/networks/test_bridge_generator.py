"""The forms of the generator: what they count, what they respond to, where they start."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainers.losses.bridge import bridge_step, time_grid
from trainers.networks.blocks import pixel_norm
from trainers.networks.bridge_generator import BridgeGenerator, LegacyBlock
from trainers.networks.resnet import residual

LIVE = ["drift", "residual", "image"]
FORMS = [*LIVE, "legacy"]
TIMES = time_grid(5)[:-1]


def _generator(form: str, width: int = 8, blocks: int = 2) -> BridgeGenerator:
    torch.manual_seed(0)
    return BridgeGenerator(channels=3, width=width, blocks=blocks, latent=16, form=form, times=TIMES)


def _inputs(size: int = 16, batch: int = 2) -> tuple[Tensor, Tensor]:
    return torch.rand(batch, 3, size, size) * 2 - 1, torch.randn(batch, 16)


def _spread(network: BridgeGenerator, x: Tensor, z: Tensor, other_k: int, other_z: Tensor) -> float:
    """Mean change of the deepest features, on their own scale."""
    with torch.no_grad():
        a = network.encode(x, torch.zeros(len(x), dtype=torch.long), z, 2)[-1]
        b = network.encode(x, torch.full((len(x),), other_k), other_z, 2)[-1]
    return float((a - b).abs().mean() / a.std())


def test_the_legacy_form_has_the_official_size_and_responds_to_the_latent_alone() -> None:
    """METHOD.md 1.4: 7.51 million of 14.68 get a gradient; counted here layer by layer."""
    network = BridgeGenerator(channels=3, width=64, blocks=9, latent=256, form="legacy", times=TIMES)
    stem, down = 3 * 64 * 49 + 64, 64 * 128 * 9 + 128 + 128 * 256 * 9 + 256
    up, head = 256 * 128 * 9 + 128 + 128 * 64 * 9 + 64, 64 * 3 * 49 + 3
    block = 256 * 256 * 9 + 256 + 2 * (256 * 256 + 256)
    expected = stem + down + up + head + 9 * block + 4 * (256 * 256 + 256)
    assert sum(p.numel() for p in network.parameters()) == expected
    assert expected / 1e6 == pytest.approx(7.51, abs=5e-3)
    network, (x, z) = _generator("legacy"), _inputs()
    outputs = [network(x, torch.full((2,), step), z) for step in range(5)]
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])
    assert _spread(network, x, z, 0, torch.randn_like(z)) > 0.01


@pytest.mark.parametrize("form", FORMS)
def test_parameters_are_in_the_order_by_which_checkpoints_number_their_optimisers_states(form: str) -> None:
    names = [name.split(".")[0] for name, _ in _generator(form).named_parameters()]
    order = [name for name in dict.fromkeys(names) if name in ("stem", "down", "blocks", "up", "head")]
    assert order == ["stem", "down", "blocks", "up", "head"]


@pytest.mark.parametrize("form", LIVE)
def test_the_live_forms_respond_to_every_step_and_to_the_latent(form: str) -> None:
    """Time before the norm moved an output by 9e-6 where the latent moved it by 0.1 (METHOD.md 1.4 b)."""
    network, (x, z) = _generator(form), _inputs()
    by_latent = _spread(network, x, z, 0, torch.randn_like(z))
    assert by_latent > 1e-3  # rounding is 1e-6; training opens it further
    for step in range(1, 5):
        assert _spread(network, x, z, step, z) > 0.1 * by_latent
    nn.init.normal_(network.head.weight, std=0.1)
    k = torch.zeros(2, dtype=torch.long)
    assert float((network(x, k, z) - network(x, k + 1, z)).detach().abs().max()) > 1e-3
    assert float((network(x, k, z) - network(x, k, -z)).detach().abs().max()) > 1e-3


def test_the_residual_form_starts_near_the_identity_and_the_image_form_near_grey() -> None:
    network, (x, z) = _generator("residual", width=64, blocks=1), _inputs(32)
    with torch.no_grad():
        change = (network(x, torch.tensor([0, 4]), z) - x).abs()
    assert 0 < float(change.mean()) < 0.03
    nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        np.testing.assert_allclose(network(x, torch.tensor([0, 4]), z), x, atol=1e-6)
    network, (x, z) = _generator("image", width=64, blocks=1), _inputs(32)
    with torch.no_grad():
        assert float(network(x, torch.tensor([0, 4]), z).abs().mean()) < 0.1


def test_a_constant_drift_predicts_one_image_at_every_step_where_a_constant_change_adds_up() -> None:
    """Small, so that the logit scale is straight; x_k is on the line from x_0 to it at t_k."""
    ends = {}
    for form in ("drift", "residual"):
        network, (start, z) = _generator(form), _inputs()
        nn.init.zeros_(network.head.weight)
        nn.init.constant_(network.head.bias, 0.01)
        start, states = start * 0.3, [start * 0.3]
        for k in range(5):
            with torch.no_grad():
                ends[form, k] = network(states[-1], torch.full((2,), k), z)
            states.append(bridge_step(states[-1], ends[form, k], time_grid(5), k, None, 0.01))
    first = ends["drift", 0] - start
    np.testing.assert_allclose(ends["residual", 0] - start, first, atol=1e-6)
    for k in range(1, 5):
        np.testing.assert_allclose(ends["drift", k] - start, first, rtol=5e-3)
        assert float(((ends["residual", k] - start) / first).min()) > 1 + 0.45 * k


def test_residual_is_the_identity_at_zero_bounded_and_moves_grey_ten_times_as_far_as_black() -> None:
    x = torch.linspace(-1, 1, 201, dtype=torch.float64)
    np.testing.assert_allclose(residual(x, torch.zeros_like(x)), x, atol=1e-12)
    for change in (-1e3, -2.0, 2.0, 1e3):
        moved = residual(torch.linspace(-4, 4, 33), torch.tensor(change))
        assert float(moved.abs().max()) <= 1 / 0.95 + 1e-6
        assert bool(((residual(x, torch.tensor(change)) - x) * change > 0).all())
    np.testing.assert_allclose(residual(torch.tensor([-5.0, 5.0]), torch.zeros(2)), [-1, 1], atol=1e-6)
    # Slope (1 - (edge x)^2) / edge: 1.05 at grey, 0.10 at black and white.
    for x, slope in ((0.0, 1 / 0.95), (-1.0, (1 - 0.95**2) / 0.95), (1.0, (1 - 0.95**2) / 0.95)):
        change = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(residual(torch.tensor(x, dtype=torch.float64), change), change)
        assert float(gradient) == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_every_parameter_gets_a_gradient(form: str) -> None:
    """In float64, so that a branch cancelled up to rounding shows; biases before a norm are cancelled."""
    network, (x, z) = _generator(form).double(), _inputs()
    if network.embedding.time is not None:
        network.embedding.time.register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    out = network(x.double(), torch.tensor([1, 3]), z.double())
    torch.autograd.backward((out * torch.randn_like(out)).sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if not name.endswith("bias") or "affine" in name or "time" in name or "head" in name:
            assert float(parameter.grad.abs().max()) > 1e-7, name


@pytest.mark.parametrize("form", FORMS)
def test_maps_halve_outputs_are_bounded_and_samples_independent(form: str) -> None:
    network, (x, z) = _generator(form), _inputs()
    k = torch.zeros(2, dtype=torch.long)
    features = network.encode(x, k, z, 2)
    assert features[0] is x
    shapes = [tuple(f.shape[1:]) for f in features[1:]]
    assert shapes == [(16, 16, 16), (32, 8, 8), (32, 4, 4), (32, 4, 4)]
    fewer = network.encode(x, k, z, 1)
    assert len(fewer) == 4 and all(torch.equal(a, b) for a, b in zip(fewer, features, strict=False))
    network, (x, z) = _generator(form), _inputs()
    nn.init.normal_(network.head.weight, std=10)
    out = network(x, torch.zeros(2, dtype=torch.long), z).detach()
    assert out.shape == x.shape and float(out.abs().max()) <= 1 / 0.95 + 1e-6
    assert math.isfinite(float(out.sum()))
    network, (x, z) = _generator(form), _inputs(batch=3)
    k = torch.tensor([0, 3, 1])
    with torch.no_grad():
        together = network(x, k, z)
        alone = torch.cat([network(x[i : i + 1], k[i : i + 1], z[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_legacy_block_by_hand() -> None:
    torch.manual_seed(0)
    block, h, latent = LegacyBlock(4, 6), torch.randn(2, 4, 8, 8), pixel_norm(torch.randn(2, 6))

    def norm(a: Tensor) -> Tensor:
        mean, variance = a.mean((2, 3), keepdim=True), a.var((2, 3), unbiased=False, keepdim=True)
        return (a - mean) / torch.sqrt(variance + 1e-5)

    affine = latent @ block.affine.weight.T + block.affine.bias
    gamma, beta = affine[:, :4, None, None], affine[:, 4:, None, None]
    padded = F.pad(F.relu(gamma * norm(h) + beta), (1, 1, 1, 1), mode="reflect")
    expected = h + norm(F.conv2d(padded, block.second.weight, block.second.bias))
    torch.testing.assert_close(block(h, latent), expected, atol=1e-4, rtol=1e-4)
