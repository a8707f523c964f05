"""The image pool against what a fair pool of fifty would do."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from trainers.networks.image_pool import ImagePool


def numbered(numbers: Sequence[int]) -> Tensor:
    """Images [B, 1, 2, 2] identified by their constant value."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2).clone()


def numbers_of(images: Tensor) -> list[int]:
    assert bool((images == images[:, :1, :1, :1]).all())
    return [int(v) for v in images[:, 0, 0, 0]]


def full(size: int) -> ImagePool:
    pool = ImagePool(size, 1, 2)
    pool(numbered(range(size)))
    return pool


def test_it_returns_its_input_until_full_and_no_image_is_lost_or_doubled() -> None:
    pool = ImagePool(5, 1, 2)
    for first in (0, 2):
        assert numbers_of(pool(numbered([first, first + 1]))) == [first, first + 1]
    assert int(pool.count) == 4
    assert numbers_of(pool.images) == [0, 1, 2, 3, 0]
    assert numbers_of(pool(numbered([4]))) == [4]
    assert numbers_of(pool.images) == [0, 1, 2, 3, 4]
    pool = ImagePool(0, 1, 2)
    for first in range(0, 40, 2):
        assert numbers_of(pool(numbered([first, first + 1]))) == [first, first + 1]
    torch.manual_seed(0)
    pool, size = full(7), 7
    returned: list[int] = []
    for first in range(size, size + 300, 3):
        returned += numbers_of(pool(numbered(range(first, first + 3))))
    assert sorted(returned + numbers_of(pool.images)) == list(range(size + 300))
    assert int(pool.count) == size


def test_half_come_from_the_pool_from_every_slot_alike() -> None:
    torch.manual_seed(0)
    size, draws = 10, 2000
    pool = full(size)
    slots = torch.zeros(size)
    for number in range(size, size + draws):
        before = pool.images.clone()
        old = numbers_of(pool(numbered([number])))[0] != number
        changed = (pool.images != before).flatten(1).any(1)
        assert int(changed.sum()) == int(old)
        slots += changed
    swaps = float(slots.sum())
    assert abs(swaps - draws / 2) < 4 * math.sqrt(draws / 4)
    chi_squared = float(((slots - swaps / size).square() / (swaps / size)).sum())
    assert chi_squared < 27.9  # 0.999 quantile, nine degrees of freedom


def test_its_draws_follow_the_global_seed_and_its_state() -> None:
    pool, again = full(6), ImagePool(6, 1, 2)
    torch.manual_seed(1)
    pool(numbered(range(6, 20)))
    again.load_state_dict(pool.state_dict())
    outputs = []
    for each in (pool, again):
        torch.manual_seed(2)
        outputs.append(numbers_of(each(numbered(range(20, 60)))))
    assert outputs[0] == outputs[1]
    assert torch.equal(pool.images, again.images)
    assert any(number < 20 for number in outputs[0])
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(numbers_of(full(6)(numbered(range(6, 40)))))
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize("size", [0, 3])
def test_no_gradient_passes(size: int) -> None:
    pool, images = ImagePool(size, 1, 2), numbered([1, 2]).requires_grad_(True)
    out = pool(images)
    assert not out.requires_grad and not pool.images.requires_grad
    assert torch.equal(out, images)


def test_it_stores_copies_and_no_branch_depends_on_a_value() -> None:
    pool, images = ImagePool(3, 1, 2), numbered([1, 2])
    out = pool(images)
    images.zero_()
    out.zero_()
    assert numbers_of(pool.images) == [1, 2, 0]
    # Tensors without values would refuse one; on a GPU it would wait.
    pool = ImagePool(3, 1, 2).to("meta")
    for _ in range(3):
        assert pool(torch.zeros(2, 1, 2, 2, device="meta")).shape == (2, 1, 2, 2)
