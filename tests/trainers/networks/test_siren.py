"""The sinusoidal network against its formula, one at a time and many at once."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainers.data.arrays import Array
from trainers.networks.siren import Siren, evaluate


def _numpy(network: Siren, points: Tensor) -> Array:
    """The network's formula, layer by layer."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    layers = [(state[f"layers.{i}.weight"], state[f"layers.{i}.bias"]) for i in range(len(network.layers))]
    first, *hidden, last = layers

    def sine(layer: tuple[Array, Array], x: Array) -> Array:
        waves: Array = np.sin(network.w0 * (x @ layer[0].T + layer[1]))
        return waves

    h = sine(first, points.numpy())
    for a, b in zip(hidden[0::2], hidden[1::2], strict=True):
        h = h + sine(b, sine(a, h))
    values: Array = h @ last[0].T + last[1]
    return values


def _network(seed: int = 0) -> Siren:
    torch.manual_seed(seed)
    return Siren(width=12, blocks=2, w0=20.0).double()


def test_networks_are_their_formula_with_separate_gradients_and_the_published_initial_weights() -> None:
    network, points = _network(), torch.rand(50, 2, dtype=torch.float64) * 2 - 1
    np.testing.assert_allclose(network(points).detach().numpy(), _numpy(network, points), atol=1e-12)
    networks = [_network(seed) for seed in range(3)]
    points = torch.rand(3, 2, 40, dtype=torch.float64) * 2 - 1
    stacked = [torch.cat(parts) for parts in zip(*(n.stack(1) for n in networks), strict=True)]
    values = evaluate(stacked, points, 20.0)
    for network, value, at in zip(networks, values, points, strict=True):
        np.testing.assert_allclose(value.detach().T.numpy(), _numpy(network, at.T), atol=1e-12)
    # METHOD.md section 4: 527,361 with one channel.
    network = Siren(width=256, blocks=4, channels=1)
    assert sum(p.numel() for p in network.parameters()) == 527_361
    weights = [p.detach().clone().requires_grad_() for p in _network().stack(3)]
    points = torch.rand(3, 2, 40, dtype=torch.float64)
    gradients = torch.autograd.grad(evaluate(weights, points, 20.0)[1].square().sum(), weights)
    for gradient in gradients:
        assert float(gradient[1].abs().sum()) > 0
        assert float(gradient[[0, 2]].abs().sum()) == 0
    for w0 in (10.0, 30.0):
        torch.manual_seed(0)
        network = Siren(width=256, blocks=1, w0=w0)
        bounds = [0.5, *[np.sqrt(6 / 256) / w0] * 3]
        for layer, bound in zip(network.layers, bounds, strict=True):
            assert isinstance(layer, nn.Linear)
            weight = layer.weight.detach()
            assert 0.98 * bound < float(weight.abs().max()) <= bound
            assert float(weight.std()) == pytest.approx(bound / np.sqrt(3), rel=0.06)
