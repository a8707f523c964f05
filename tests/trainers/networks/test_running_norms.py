"""Running means of norms against their closed form."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.networks.running_norms import DECAY, LIMIT, RunningNorms


def _norms(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_the_quotient_is_that_of_exponentially_weighted_means_also_after_a_checkpoint() -> None:
    norms, generator = RunningNorms(["GAN", "DMD"]), np.random.default_rng(0)
    gan, dmd = generator.uniform(1, 2, 12), generator.uniform(0.1, 0.2, 12)
    norms.update(_norms(GAN=float(gan[0]), other=9.0))
    assert float(norms.quotient("DMD", "GAN")) == 0 == float(norms.quotient("GAN", "DMD"))
    for i in range(1, 12):
        norms.update(_norms(GAN=float(gan[i]), DMD=float(dmd[i])))
    means = [float(np.average(v, weights=DECAY ** np.arange(len(v))[::-1])) for v in (gan, dmd[1:])]
    copy = RunningNorms(["GAN", "DMD"])
    copy.load_state_dict(norms.state_dict())
    for each in (norms, copy):
        assert float(each.quotient("DMD", "GAN")) == pytest.approx(means[0] / means[1], rel=1e-5)


def test_a_norm_that_vanishes_is_followed_to_a_limit() -> None:
    norms = RunningNorms(["GAN", "DMD"])
    norms.update(_norms(GAN=1.0, DMD=0.0))
    assert float(norms.quotient("DMD", "GAN")) == pytest.approx(LIMIT)
