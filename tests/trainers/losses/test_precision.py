"""Losses that mean float32 have it under autocast too."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.losses import bridge, flow, inner_edges, nce

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(2, 3, 32, 32, generator=GENERATOR)
UNIT = F.normalize(torch.randn(2, 16, 8, generator=GENERATOR), dim=-1)
MASK = torch.ones(2, 32, 32, dtype=torch.bool)
LOSSES: dict[str, Callable[[], Tensor]] = {
    "nce": lambda: nce.patch_nce(UNIT, UNIT.roll(1, 1)),
    "flow": lambda: flow.affine_flow(torch.tensor([0.1]), torch.tensor([1.1]), torch.zeros(1, 2), 128, 128),
    "edges": lambda: inner_edges.edge_strength(IMAGES, MASK),
    "cost": lambda: bridge.brain_cost(IMAGES, IMAGES.roll(1, 0), MASK),
}


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_no_bit(name: str) -> None:
    expected = LOSSES[name]()
    with torch.autocast("cpu", torch.bfloat16):
        found = LOSSES[name]()
        assert (IMAGES @ IMAGES).dtype == torch.bfloat16
    assert found.dtype == torch.float32 and torch.equal(found, expected)
