"""The registration network: size, initial flow, any image size, and that it can register."""

import pytest
import torch
from torch import Tensor

from trainers.losses import flow
from trainers.networks.registration import RegistrationNet


def _net(width: int = 4, levels: int = 3, channels: int = 3) -> RegistrationNet:
    torch.manual_seed(0)
    return RegistrationNet(channels=channels, width=width, levels=levels)


def _blobs(centres: Tensor) -> Tensor:
    """Gaussian blobs [B, 3, 24, 24] around positions [B, 2] as (column, row)."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    columns, rows = centres[:, 0, None, None], centres[:, 1, None, None]
    blob = torch.exp(-((x - columns).square() + (y - rows).square()) / 18)
    return blob[:, None].expand(-1, 3, -1, -1)


def test_it_has_the_official_size_starts_at_zero_flow_and_finds_a_shift_of_each_pair() -> None:
    """A blob, and the same blob somewhere else: the flow at the latter points back to the former."""
    net = _net(8, 3)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(120):
        start, move = 9 + 6 * torch.rand(8, 2), 6 * torch.rand(8, 2) - 3
        moving, fixed = _blobs(start), _blobs(start + move)
        field = net(moving, fixed)
        loss = 20 * (flow.warp(moving, field) - fixed).abs().mean() + 0.1 * flow.smoothness(field)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    start, move = 9 + 6 * torch.rand(64, 2), 6 * torch.rand(64, 2) - 3
    fixed = _blobs(start + move)
    with torch.no_grad():
        field = net(_blobs(start), fixed)
    weight = fixed[:, :1] / fixed[:, :1].sum((2, 3), keepdim=True)
    error = ((field * weight).sum((2, 3)) + move).norm(dim=1).mean()
    assert float(error) < 0.4 * float(move.norm(dim=1).mean())
    # METHOD.md section 4: 2.06 million parameters, for images of one channel.
    count = sum(p.numel() for p in _net(32, 7, 1).parameters())
    assert count / 1e6 == pytest.approx(2.06, abs=5e-3)
    for height, width, levels in ((32, 32, 5), (48, 36, 3), (96, 80, 6)):
        moving, fixed = torch.randn(2, 2, 3, height, width)
        field = _net(8, levels)(moving, fixed)
        assert field.shape == (2, 2, height, width)
        assert 0 < float(field.detach().abs().max()) < 0.01
