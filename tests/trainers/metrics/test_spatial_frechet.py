"""The spatial distance: closed forms with an encoder that passes pixels on, invariances with a real one."""

import math

import pytest
import torch
from torch import Tensor, nn

from trainers.errors import InputError
from trainers.metrics.spatial_frechet import SpatialPool
from trainers.networks.encoder import ResidualEncoder

SUBJECTS = [(0, 4), (4, 10), (10, 12)]


class Every2nd(nn.Module):
    """A stage that passes every second pixel on."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


def transparent() -> ResidualEncoder:
    encoder = ResidualEncoder(8)
    encoder.stages = nn.Sequential(Every2nd(), Every2nd(), *encoder.stages[2:])
    return encoder


def brains(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    slices = torch.rand(12, 3, 36, 44, generator=generator) - 0.5
    return slices, torch.rand(12, 36, 44, generator=generator) < 0.7


def test_a_gain_has_a_closed_form_and_only_pixels_at_the_positions_in_the_brain_count() -> None:
    slices, mask = brains()
    pool = SpatialPool.of(transparent(), slices, mask, SUBJECTS)
    # Both stages pass the same pixels: three features in all.
    assert pool.whitening.components == 3
    assert pool.distance(slices, mask, SUBJECTS) < 1e-9
    mean = pool.whitening.centre @ pool.whitening.matrix
    expected = 0.2**2 * (1 + float(mean.square().sum()) / 3)
    assert pool.distance(0.8 * slices, mask, SUBJECTS) == pytest.approx(expected, rel=1e-5)
    other = torch.where(mask[:, None], 0.8 * slices, 7.0)
    other[..., 1::2, :] = 5
    assert pool.distance(other, mask, SUBJECTS) == pool.distance(0.8 * slices, mask, SUBJECTS)
    mixing = torch.tensor([[1.0, 0.5, 0], [0, 2, 0.3], [0.1, 0, 1]])
    mixed = [torch.einsum("dc,nchw->ndhw", mixing, x) for x in (slices, 0.8 * slices)]
    again = SpatialPool.of(transparent(), mixed[0], mask, SUBJECTS)
    assert again.distance(mixed[1], mask, SUBJECTS) == pytest.approx(expected, rel=1e-4)


def test_a_subject_counts_once_and_leaving_it_out_is_leaving_its_slices_out() -> None:
    slices, mask = brains()
    pool = SpatialPool.of(ResidualEncoder(8).eval(), slices, mask, SUBJECTS)
    others, brain = brains(1)
    found = pool.compare(others, brain, SUBJECTS).jackknifed()["fid_spatial"]
    twice = torch.cat((torch.arange(4), torch.arange(12)))
    repeated = pool.distance(others[twice], brain[twice], [(0, 8), (8, 14), (14, 16)])
    assert repeated == pytest.approx(found.value, rel=0.01)
    alone = pool.distance(others[4:], brain[4:], [(0, 6), (6, 8)])
    assert float(found.without[0]) == pytest.approx(alone, rel=1e-5)
    others[2] = math.nan
    assert math.isnan(pool.distance(others, brain, SUBJECTS))


def test_one_and_two_threads_give_the_same_distance() -> None:
    before, values = torch.get_num_threads(), []
    (slices, mask), (others, brain) = brains(), brains(1)
    torch.manual_seed(0)
    encoder = ResidualEncoder(8).eval()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        values.append(SpatialPool.of(encoder, slices, mask, SUBJECTS).distance(others, brain, SUBJECTS))
    torch.set_num_threads(before)
    assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_too_few_positions_are_one_line() -> None:
    slices, mask = brains()
    with pytest.raises(InputError, match=r"^fid_spatial: 1 pool subjects with \d+ pos.*: 60 pos"):
        SpatialPool.of(transparent(), slices[:1], mask[:1] & (torch.arange(44) < 9), [(0, 1)])
