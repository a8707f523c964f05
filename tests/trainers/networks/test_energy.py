"""The energy of noisy pairs: its pairs, and its information of Gaussians against closed forms."""

import math

import pytest
import torch
from torch import Tensor, nn

from trainers.losses import bridge
from trainers.networks.energy import PACE, START, NoisyPairEnergy

SIDE, VALUES = 2, 6 * 2 * 2
STEP = torch.zeros(32768, dtype=torch.long)


def _constants(scale: Tensor | float = 1.0) -> Tensor:
    """Pairs [32768, 6, 2, 2] that are everywhere one normal number."""
    return scale * torch.randn(32768, 1, 1, 1).expand(32768, 6, SIDE, SIDE)


def _information(ratio: float, scale: float = 1.0) -> float:
    """Of a constant of deviation ``scale`` with itself plus white noise: the mean is sufficient."""
    return 0.5 * math.log1p(VALUES * ratio * scale**2)


class Quadratic(nn.Module):
    """Energies of the two means' products up to degree two: Gaussians' log density ratio is among them."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(5, 1)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        a, b = (half.mean((1, 2, 3)) for half in x.chunk(2, 1))
        b = b / b.detach().std()
        return self.weights(torch.stack((a, b, a * a, a * b, b * b), 1))[..., None, None]


def _at(ratio: float) -> NoisyPairEnergy:
    """At a signal-to-noise ``ratio``."""
    torch.manual_seed(0)
    energy = NoisyPairEnergy(width=4, norm=False)
    with torch.no_grad():
        energy.ratio.fill_((math.log(ratio) - START) / PACE)
    return energy


def _estimate(energy: NoisyPairEnergy, scale: Tensor | float, seed: int) -> tuple[Tensor, Tensor]:
    """Loss and information of the same constants and noises at every call."""
    torch.manual_seed(seed)
    own, cross = energy(_constants(scale), STEP)
    return bridge.energy_loss(own, cross), bridge.entropy(own, cross)


def _train(energy: NoisyPairEnergy) -> None:
    """On constant pairs, to the end."""
    energy.net = Quadratic()  # type: ignore[assignment]
    optimizer = torch.optim.LBFGS(energy.net.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss, _ = _estimate(energy, 1.0, seed=1)
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]


class Recording(nn.Module):
    """An energy map that records its input."""

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        self.seen, self.k = x, k
        return x[:, :1]


def test_a_pair_meets_its_own_noisy_copy_and_the_next_samples() -> None:
    torch.manual_seed(0)
    energy, recording = NoisyPairEnergy(width=4, norm=False), Recording()
    energy.net = recording  # type: ignore[assignment]
    pair, k = 0.3 * torch.randn(3, 6, 64, 64) + torch.tensor([-3.0, 0, 3]).view(3, 1, 1, 1), torch.arange(3)
    with torch.no_grad():
        energy.ratio.fill_((math.log(4) - START) / PACE)
        energy(pair, k)
    seen, noisy = recording.seen[:, :6], recording.seen[:, 6:]
    assert torch.equal(seen[:3], pair) and torch.equal(seen[3:], pair)
    assert torch.equal(noisy[3:], noisy[:3].roll(1, 0)) and recording.k.tolist() == [0, 1, 2, 0, 1, 2]
    noise = (noisy[:3] - math.sqrt(0.8) * pair) / math.sqrt(0.2)  # alpha^2 / sigma^2 = 4
    assert noise.mean(dim=(1, 2, 3)).abs().max() < 0.03 and noise.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("nats", [0.5, 1.5])
def test_the_information_of_gaussian_pairs_and_its_slope_are_their_closed_forms(nats: float) -> None:
    """The slope over the pairs' scale is what the generator is trained by; nothing flattens it."""
    ratio = math.expm1(2 * nats) / VALUES
    energy = _at(ratio)
    _train(energy)
    scale = torch.tensor(1.0, requires_grad=True)
    _, found = _estimate(energy, scale, seed=2)
    (slope,) = torch.autograd.grad(found, scale)
    assert _information(ratio) == pytest.approx(nats)
    assert float(found.detach()) == pytest.approx(nats, rel=0.1)
    assert float(slope) == pytest.approx(-math.expm1(-2 * nats), rel=0.15)


@pytest.mark.parametrize("ratio", [0.1 / VALUES, 1.0])
def test_noise_is_added_or_taken_until_the_information_is_at_its_target(ratio: float) -> None:
    energy = _at(ratio)
    optimizer = torch.optim.Adam([energy.ratio], 5e-4, (0.5, 0.999))
    for _ in range(400):
        now = _information(math.exp(float(energy.log_ratio.detach())))
        optimizer.zero_grad()
        torch.autograd.backward(bridge.keep_information(energy.log_ratio, torch.tensor(now)))
        optimizer.step()
    assert now == pytest.approx(bridge.TARGET, abs=0.05)
    log_ratio = torch.zeros((), requires_grad=True)
    information = torch.tensor(bridge.TARGET + 2.5, requires_grad=True)
    torch.autograd.backward(bridge.keep_information(log_ratio, information))
    assert float(log_ratio.grad or 0) == pytest.approx(2.5) and information.grad is None
