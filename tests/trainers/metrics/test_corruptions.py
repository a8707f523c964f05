"""Each corruption does what its name says, on drawn brains, and is the same every time."""

import pytest
import torch
from torch import Tensor

from trainers.metrics import distortions
from trainers.metrics.corruptions import BIAS, CORRUPTIONS, CORTEX, FROM_INPUT, WARP, Pairs, blur, corrupted
from trainers.metrics.patches import brain_box, reflected
from trainers.metrics.surface import dilate

SUBJECTS = [(0, 3), (3, 5), (5, 8)]


def disc(radius: float) -> Tensor:
    y, x = torch.arange(96.0)[:, None], torch.arange(80.0)
    return ((y - 48) / 1.1) ** 2 + (x - 41) ** 2 < radius**2


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    generator = torch.Generator().manual_seed(0)
    mask, small = disc(36).repeat(8, 1, 1), disc(34).repeat(8, 1, 1)
    real = 0.3 + 0.4 * torch.rand(8, 2, 96, 80, generator=generator)
    source = torch.rand(8, 2, 96, 80, generator=generator) ** 2
    return Pairs(real * mask[:, None], mask, source * small[:, None], small, SUBJECTS, 2.0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_is_reproducible_in_range_and_black_outside(pairs: Pairs, name: str) -> None:
    before = pairs.real.clone()
    images, mask = corrupted(pairs, name)
    assert torch.equal(images, corrupted(pairs, name)[0]) and torch.equal(pairs.real, before)
    assert torch.equal(mask, pairs.source_mask if name in FROM_INPUT else pairs.mask)
    assert images.shape == pairs.real.shape and images.dtype == pairs.real.dtype
    assert images.min() >= 0 and images.max() <= 1
    assert not images[~mask[:, None].expand_as(images)].any()
    assert torch.equal(images, pairs.real) == (name == "floor")


def test_noise_has_its_deviation_and_a_bias_field_is_one_of_a_subject(pairs: Pairs) -> None:
    inside = pairs.mask[:, None].expand_as(pairs.real)
    for name, expected in (("noise 2 %", 0.02), ("noise 5 %", 0.05)):
        difference = (corrupted(pairs, name)[0] - pairs.real)[inside]
        assert float(difference.std()) == pytest.approx(expected, rel=0.02)
        assert float(difference.mean()) == pytest.approx(0, abs=1e-3)
    field = (CORRUPTIONS["bias field"](pairs) / pairs.real).log().nan_to_num()
    for start, stop in SUBJECTS:
        assert float(field[start:stop][inside[start:stop]].std()) == pytest.approx(BIAS, rel=0.01)
        assert (field[start:stop] - field[start, 0]).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["shuffled", "shuffled, soft seams"])
def test_blocks_change_places_and_soft_seams_keep_their_borders(pairs: Pairs, name: str) -> None:
    images = CORRUPTIONS[name](pairs)
    hard = CORRUPTIONS["shuffled"](pairs)
    moved = (hard != pairs.real).any(1)
    # 16-pixel blocks whose every pixel lies in the brain; none has stayed.
    assert int(moved[0].sum()) in range(8 * 256 - 20, 16 * 256) and not (moved & ~pairs.mask).any()
    for row in range(8):
        assert torch.equal(hard[row, 1].flatten().sort().values, pairs.real[row, 1].flatten().sort().values)
    if name != "shuffled":
        corner = torch.nonzero(moved[0])[0].tolist()
        block = (0, slice(None), slice(corner[0], corner[0] + 16), slice(corner[1], corner[1] + 16))
        torch.testing.assert_close(images[block][:, 5:11, 5:11], hard[block][:, 5:11, 5:11])
        edge = (images[block] - pairs.real[block])[:, 0]
        assert edge.abs().max() < 0.1 * (hard[block] - pairs.real[block])[:, 0].abs().max()


def test_a_warp_moves_by_at_most_its_millimetres() -> None:
    ramp = torch.arange(80.0).expand(3, 1, 96, 80)
    moved = distortions.warped(ramp, 1.5, 6.0, torch.Generator().manual_seed(0)) - ramp
    inside = moved[..., 4:-4, 4:-4].abs()
    assert 0.5 < float(inside.max()) <= 1.5 + 1e-3
    assert WARP / 2.0 == 1.5


def test_glued_halves_are_mirror_images_and_a_pasted_rim_is_the_next_subjects(pairs: Pairs) -> None:
    images = CORRUPTIONS["glued halves"](pairs)
    assert torch.equal(images, reflected(images, brain_box(pairs.mask)))
    assert torch.equal(images[..., 41:], pairs.real[..., 41:])
    images = CORRUPTIONS["pasted cortex"](pairs)
    deep = pairs.mask & ~dilate(~pairs.mask, CORTEX / 2.0)
    assert 0.5 < float(deep.sum() / pairs.mask.sum()) < 0.7
    rim = (pairs.mask & ~deep)[0]
    assert torch.equal(images * deep[:, None], pairs.real * deep[:, None])
    for row, other in ((0, 3), (2, 4), (3, 5), (4, 7), (5, 0), (7, 2)):
        assert torch.equal(images[row] * rim, pairs.real[other] * rim)


def test_invented_detail_has_the_variance_of_the_lost_one_and_nothing_else_in_common(pairs: Pairs) -> None:
    smooth, core = blur(pairs, 2.0), disc(30).expand(8, 2, 96, 80)
    made, lost = ((x - smooth)[core] for x in (CORRUPTIONS["invented texture"](pairs), pairs.real))
    assert float(made.std() / lost.std()) == pytest.approx(1, abs=0.05)
    assert abs(float(torch.corrcoef(torch.stack((made, lost)))[0, 1])) < 0.05


def test_matching_gives_every_subject_the_histogram_of_the_real_slices_and_keeps_ranks(pairs: Pairs) -> None:
    images = CORRUPTIONS["histogram-matched"](pairs)
    levels = torch.tensor([0.01, 0.1, 0.5, 0.9, 0.99])
    for start, stop in SUBJECTS:
        inside, own = (x[start:stop, 1][pairs.source_mask[start:stop]] for x in (images, pairs.source))
        wanted = pairs.real[:, 1][pairs.mask].quantile(levels)
        torch.testing.assert_close(inside.quantile(levels), wanted, atol=2e-3, rtol=0)
        assert (inside[own.argsort()].diff() >= 0).all()
