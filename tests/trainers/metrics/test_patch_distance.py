"""Patches against torch's unfold and drawn brains; distances against closed forms and brute force."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.patch_distance import BLOCKS, PatchPool
from trainers.metrics.patches import SIDE, PatchGrid, brain_box

SUBJECTS = [(12 * i, 12 * i + 12) for i in range(24)]


def brains(subjects: int = 24, contrasts: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth random images [N, C, 48, 48], and oval brains a little off the middle."""
    generator = torch.Generator().manual_seed(seed)
    n = 12 * subjects
    coarse = torch.rand(n, contrasts, 24, 24, generator=generator)
    images = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
    y, x = torch.arange(48.0)[:, None], torch.arange(48.0)
    oval = ((y - 23) / 23) ** 2 + ((x - 25) / 21) ** 2 < 1
    return images, oval.expand(n, -1, -1)


@pytest.fixture(scope="module")
def pool() -> PatchPool:
    images, mask = brains()
    return PatchPool.of(images, mask, SUBJECTS, spacing=2.0)


def test_patches_are_those_of_unfold_that_lie_in_the_brain() -> None:
    images, mask = brains(1)
    grid = PatchGrid(pixel=4, step=12, share=0.9)
    patches, _ = grid.cut(images, mask, spacing=2.0)
    coarse = images.double().reshape(12, 2, 24, 2, 24, 2).mean((3, 5))
    inside = mask.double().reshape(12, 24, 2, 24, 2).mean((2, 4)) >= 0.5
    every = coarse.unfold(2, SIDE, 3).unfold(3, SIDE, 3).permute(0, 2, 3, 1, 4, 5)
    share = inside.double().unfold(1, SIDE, 3).unfold(2, SIDE, 3).mean((3, 4))
    torch.testing.assert_close(patches, every[share >= 0.9].flatten(1))
    # Coarser pixels than asked for are left as they are.
    assert len(grid.cut(images, mask, spacing=4.0)[0]) > 2 * len(patches)


def test_mirrored_patches_of_a_symmetric_brain_are_zero_wherever_it_lies() -> None:
    grid = PatchGrid(pixel=2, step=8, share=0.9, mirrored=True)
    for width, columns in ((41, 20), (42, 21)):
        images, mask = torch.zeros(2, 1, 48, 64), torch.zeros(2, 48, 64, dtype=torch.bool)
        half = torch.rand(2, 1, 48, width, generator=torch.Generator().manual_seed(0))
        images[..., columns : columns + width] = half + half.flip(-1)
        mask[..., columns : columns + width] = True
        assert brain_box(mask) == (0, 47, columns, columns + width - 1)
        patches, _ = grid.cut(images, mask, spacing=2.0)
        assert len(patches) > 50 and patches.abs().max() < 1e-6
        images[0, 0, 20, columns + 3] += 1
        assert grid.cut(images, mask, spacing=2.0)[0].abs().max() == pytest.approx(1, abs=1e-6)


def test_regions_run_from_front_to_back_outwards_and_upwards_and_are_the_same_on_both_sides() -> None:
    grid = PatchGrid(pixel=2, step=4, share=0.5, regions=(2, 2, 3))
    mask = torch.ones(6, 40, 44, dtype=torch.bool)
    _, regions = grid.cut(torch.zeros(6, 1, 40, 44), mask, spacing=2.0)
    by_slice = regions.reshape(6, 17, 19)
    assert torch.equal(by_slice, by_slice.flip(2))
    assert by_slice[:, 0, 9].tolist() == [0, 0, 1, 1, 2, 2]
    assert by_slice[0, :, 0].unique().tolist() == [3, 9] and int(by_slice[0, -1, 9]) == 6
    assert torch.bincount(regions).min() > 6 * 17 * 19 / 12 / 2


def test_regions_are_exact_where_a_patch_lies_between_two() -> None:
    for side, n, parts in itertools.product((16, 31, 40), (1, 4, 36), (3, 5, 6)):
        grid = PatchGrid(pixel=2, step=2, share=0, regions=(parts, parts, parts))
        mask = torch.ones(n, side, side, dtype=torch.bool)
        regions = grid.cut(torch.zeros(n, 1, side, side), mask, 2.0)[1].reshape(n, side - 7, side - 7)
        relative = [Fraction(2 * i + 7, 2 * (side - 1)) for i in range(side - 7)]
        outwards = [abs(2 * x - 1) for x in relative]
        heights = [Fraction(i, max(n - 1, 1)) for i in range(n)]
        back, out, height = (
            torch.tensor([min(math.floor(x * parts), parts - 1) for x in axis])
            for axis in (relative, outwards, heights)
        )
        expected = (back[:, None] * parts + out) * parts + height[:, None, None]
        assert torch.equal(regions, expected)


def test_the_pool_is_at_distance_0_and_a_gain_has_a_closed_form(pool: PatchPool) -> None:
    images, mask = brains()
    assert all(value < 1e-6 for value in pool.distance(images, mask, SUBJECTS).values())
    scores = pool.distance(0.9 * images, mask, SUBJECTS)
    for name in ("texture", "symmetry"):
        whitening = pool.blocks[name].whitening
        mean = (whitening.centre @ whitening.matrix).square().sum() / whitening.components
        expected = 0.1**2 * (1 + float(mean)) / BLOCKS[name].unit
        assert scores[f"patch_{name}"] == pytest.approx(expected, rel=1e-6)
    blocks = [scores[f"patch_{name}"] for name in BLOCKS]
    assert scores["patch_fd"] == pytest.approx(sum(blocks) / 3)


def test_without_a_subject_is_as_if_it_were_not_there_and_nan_is_nan(pool: PatchPool) -> None:
    images, mask = brains(4, seed=1)
    found = pool.compare(images, mask, SUBJECTS[:4]).jackknifed()
    alone = pool.distance(images[12:], mask[12:], SUBJECTS[:3])
    assert {n: float(x.without[0]) for n, x in found.items()} == pytest.approx(alone, rel=1e-9)
    images[5] = math.nan
    assert all(math.isnan(x) for x in pool.distance(images, mask, SUBJECTS[:4]).values())


def test_swapped_halves_change_places_but_one_contrast_is_enough() -> None:
    """Brighter in front: upside down only the place of patches changes."""
    images, mask = brains(contrasts=1)
    shaded = images * torch.linspace(1, 0.2, 48)[:, None]
    mask = mask & mask.flip(1)
    pool = PatchPool.of(shaded, mask, SUBJECTS, spacing=2.0)
    turned = pool.distance(shaded.flip(2), mask, SUBJECTS)
    assert turned["patch_place"] > 3 * turned["patch_texture"]


def test_a_small_cohort_is_one_line_with_the_number_that_is_enough() -> None:
    images, mask = brains(2)
    with pytest.raises(InputError, match=r"^patch_fd: 2 pool subjects .*: 600 .* \(about \d+ subj"):
        PatchPool.of(images, mask, SUBJECTS[:2], spacing=2.0)
    with pytest.raises(InputError, match=r"with 0 patches of texture .* \(slices with more brain\)$"):
        PatchPool.of(images, torch.zeros_like(mask), SUBJECTS[:2], spacing=2.0)
