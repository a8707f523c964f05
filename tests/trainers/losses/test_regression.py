"""The error of a regression inside the brain."""

import pytest
import torch

from trainers.losses.regression import brain_error


def test_the_error_is_the_mean_inside_the_mask_alone() -> None:
    output, target = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 9.0)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1] = True
    target[mask[:, None].expand_as(target)] = 0.5
    assert float(brain_error(output, target, mask)) == pytest.approx(0.5)
    assert float(brain_error(output, target, mask, power=2)) == pytest.approx(0.25)
