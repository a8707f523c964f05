"""Rates of known lesions: ratios of contrasts in closed form, bright patches counted."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.lesion_rates import bright, measure, patches
from trainers.metrics.lesions import parts


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


def judged(**values: Any) -> Any:
    """What rates take from a judge, of one contrast: a square lesion of .2 at 3 T, of .1 in the input."""
    lesion = torch.zeros(2, 40, 40, dtype=torch.bool)
    lesion[0, 10:20, 10:20] = True
    inside = torch.ones_like(lesion)
    images = {name: image(lesion, height) for name, height in (("truth", 0.2), ("source", 0.1))}
    known = {
        "lesions": [list(parts(lesion.byte(), inside, inside, 2.0))],
        "subjects": ((0, 2),),
        "split": "val",
    }
    return SimpleNamespace(unit=lambda x: {"T1": x}, **{**images, **known, **values}), lesion


def image(lesion: Tensor, height: float) -> Tensor:
    return torch.where(lesion, 0.5 + height, 0.5).double()


@pytest.mark.parametrize("height", [0.3, 0.1, 0.04, -0.1])
def test_ratios_of_contrasts_and_what_vanished(height: float) -> None:
    judge, lesion = judged()
    found = measure(judge, image(lesion, height))
    assert found.contrast == pytest.approx(height / 0.1) and found.contrast_of_3t == pytest.approx(
        height / 0.2
    )
    assert found.vanished == float(height < 0.05) and (found.parts, found.subjects) == (1, 1)
    assert found.false != found.false, "NaN: of T1 alone no bright patch is counted"


def test_without_lesions_there_are_no_rates() -> None:
    with pytest.raises(InputError, match="no map"):
        measure(judged(lesions=InputError("no map"))[0], torch.zeros(2, 40, 40))
    with pytest.raises(InputError, match=r"no lesion of val has a contrast of 0\.05"):
        judge, lesion = judged(truth=torch.full((2, 40, 40), 0.5))
        measure(judge, image(lesion, 0.2))
