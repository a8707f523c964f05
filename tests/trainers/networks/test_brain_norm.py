"""Instance norm over the brain, against statistics by hand and torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.networks.brain_norm import Brain, normalised
from trainers.networks.resnet import ResNetGenerator


def slices() -> tuple[Tensor, Tensor]:
    """Two slices [2, 3, 32, 32] with a brain of 16 x 20 pixels and of none, and maps [2, 4, 32, 32]."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((2, 3, 32, 32), -1.0)
    images[0, :, 8:24, 4:24] = 0.2
    return images, 3 * torch.randn(2, 4, 32, 32, generator=generator) + 1


def test_statistics_are_those_of_the_pixels_whose_window_shows_brain() -> None:
    images, maps = slices()
    window = F.avg_pool2d(images[0, :1, :, :], 5, 1, 2, count_include_pad=False)[0] > -0.85
    inside = normalised(maps, Brain.of(images))[0][:, window]
    torch.testing.assert_close(inside.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.var(1, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    outside = normalised(maps, Brain.of(images))[0][:, ~window]
    assert outside.mean(1).abs().max() > 1e-3, "what is outside takes no part"


def test_without_a_brain_or_with_one_everywhere_it_is_instance_norm() -> None:
    images, maps = slices()
    torch.testing.assert_close(normalised(maps, Brain.of(images))[1], F.instance_norm(maps)[1])
    torch.testing.assert_close(normalised(maps, Brain.of(images + 1)), F.instance_norm(maps))
    assert torch.equal(normalised(maps, None), F.instance_norm(maps))


def test_a_pixel_of_a_coarse_map_counts_by_its_share_of_brain() -> None:
    images, _ = slices()
    weights = Brain.of(images).weights((4, 4))[0, :, 0].reshape(4, 4)
    share = Brain.of(images).inside[0, 0].reshape(4, 8, 4, 8).mean((1, 3))
    torch.testing.assert_close(weights, share / share.sum())
    assert 0 < float(share[0, 1]) < 1


@pytest.mark.parametrize("patch", [1, 2])
def test_a_wider_black_margin_leaves_the_translation_as_it_is(patch: int) -> None:
    """What a training crop and a slice differ by; over the slice statistics change with the margin."""
    images = torch.full((1, 3, 64, 64), -1.0)
    images[:, :, 24:40, 24:40] = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.4
    wide = F.pad(images, (32, 32, 32, 32), value=-1.0)
    change = {}
    for norm in ("brain", "slice"):
        torch.manual_seed(0)
        network = ResNetGenerator(channels=3, width=4, blocks=2, form="residual", patch=patch, norm=norm)
        torch.nn.init.normal_(network.head.weight, std=0.1)
        narrow = network(images)[:, :, 24:40, 24:40]
        change[norm] = float((network(wide)[:, :, 56:72, 56:72] - narrow).abs().mean().detach())
        assert (narrow - images[:, :, 24:40, 24:40]).abs().mean() > 0.01
    assert change["brain"] < 1e-5 < 100 * change["brain"] < change["slice"]


def test_folded_pixels_start_at_the_identity_and_keep_the_shape() -> None:
    network = ResNetGenerator(channels=3, width=4, blocks=1, form="residual", patch=2)
    images = torch.rand(2, 3, 36, 44) - 0.5
    torch.testing.assert_close(network(images), images, atol=0.05, rtol=0)
    assert [tuple(m.shape[1:]) for m in network.maps(images, 1)] == [
        *((3, 36, 44), (8, 18, 22), (16, 18, 22)),
        (16, 9, 11),
    ]
