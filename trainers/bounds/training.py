"""Supervised training on pairs: what the trials' network reaches when it learns from the answers."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from trainers.bounds.config import BoundConfig
from trainers.data.arrays import Array
from trainers.data.sampling import Slices
from trainers.data.store import Split
from trainers.losses.regression import brain_error
from trainers.networks.resnet import ResNetGenerator
from trainers.references.restorer import Fitted, Restorer

CHUNK = 64
"""Slices that are translated at once."""


def device() -> torch.device:
    """Where the bound is trained and translates."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_network(config: BoundConfig) -> nn.Sequential:
    """A restorer to be fitted, and the untrained residual translation network that the methods share."""
    generator = ResNetGenerator(
        channels=3,
        width=config.width,
        blocks=config.blocks,
        form=config.form,
        patch=config.patch,
        norm=config.norm,
    )
    return nn.Sequential(Restorer(config.channels), generator)


def train(
    config: BoundConfig,
    split: Split,
    rows: Array,
    crop: int,
    steps: int,
    progress: Callable[[int], None],
) -> nn.Module:
    """L1 regression in the brain of the input on pairs of ``rows`` [N] alone, in full precision; frozen.

    It starts from the restorer's closed form for the same pairs. Every draw is a function of seed and step.
    """
    pairs = Slices(split, config.channels, crop)
    torch.manual_seed(config.seed)
    network = build_network(config)
    restorer = network[0]
    assert isinstance(restorer, Restorer)
    restorer.fit(whole_pairs(split, config, rows))
    network.to(device())
    optimizer = torch.optim.Adam(network.parameters(), config.lr)
    for step in range(steps):
        batch = pairs.pairs(config.batch_size, rows, config.seed, step)
        source, target, mask = (x.to(device()) for x in (batch.source, batch.target, batch.source_mask))
        error = brain_error(network(source), target, mask)
        optimizer.param_groups[0]["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress(step + 1)
    return network.requires_grad_(False).eval()


def whole_pairs(split: Split, config: BoundConfig, rows: Array) -> Iterator[Fitted]:
    """Whole pairs of ``rows``, and the brain of both fields."""
    pairs = Slices(split, config.channels, max(split.mask("64mT").shape[1:]))
    for part in np.array_split(np.sort(rows), -(-len(rows) // CHUNK)):
        whole = pairs.whole(part)
        yield whole.source, whole.target, whole.source_mask & whole.target_mask


@torch.no_grad()
def translate(network: nn.Module, source: Tensor) -> Tensor:
    """Whole slices, surrounded [N, 6, H, W] in [-1, 1], to 3 T [N, 3, H, W], a few at a time."""
    network.to(device())
    return torch.cat([network(part.to(device())).cpu() for part in torch.split(source, CHUNK)])


def squared_error(network: nn.Module, config: BoundConfig, split: Split, rows: Array) -> float:
    """Mean squared error in the brain of both fields of whole slices, by which the crop is chosen."""
    parts = zip(*whole_pairs(split, config, rows), strict=True)
    source, target, region = (torch.cat(part) for part in parts)
    return float(brain_error(translate(network, source).clamp(-1, 1), target, region, power=2))
