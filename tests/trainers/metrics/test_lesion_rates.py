"""Rates of known lesions: ratios of contrasts in closed form, bright patches counted."""

import torch

from trainers.metrics.lesion_rates import bright, patches


def test_bright_patches_of_the_least_area_are_counted_in_deep_white_matter_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    image = 0.5 + 0.01 * torch.randn(2, 30, 30, generator=generator)
    deep = torch.zeros(2, 30, 30, dtype=torch.bool)
    deep[:, 5:25, 5:25] = True
    assert patches(bright(image, deep), 10) == 0
    image[0, 8:12, 8:12] = 0.8  # counts
    image[1, 20:22, 20:22] = 0.8  # too small
    image[1, 0:4, 0:4] = 0.8  # not in deep white matter
    assert patches(bright(image, deep), 10) == 1
    assert not bright(image, torch.zeros_like(deep)).any()
