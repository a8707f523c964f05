from typing import get_args

import pytest
import torch

from trainers.data import channels


def slices() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 5, 4, generator=generator), torch.randn(2, 5, 4, generator=generator)


def test_the_default_layout_adds_the_mean_and_copies_of_a_contrast_are_averaged() -> None:
    t1, t2 = slices()
    x = channels.stack(t1, t2, "t1_t2_mean")
    assert x.shape == (2, 3, 5, 4)
    assert torch.equal(x[:, 2] * 2, t1 + t2)
    x = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert channels.split(x, "t2")["T2"].item() == 3.0
    assert channels.split(x, "t1_t2_mean")["T2"].item() == 2.0


@pytest.mark.parametrize("layout", get_args(channels.Layout))
def test_split_undoes_stack(layout: channels.Layout) -> None:
    t1, t2 = slices()
    given = {"T1": t1, "T2": t2}
    back = channels.split(channels.stack(t1, t2, layout), layout)
    assert tuple(back) == channels.contrasts(layout)
    for contrast, image in back.items():
        torch.testing.assert_close(image, given[contrast])
