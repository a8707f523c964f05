"""Style transfer's losses against the published formulas, which know neither batches nor masks."""

import pytest
import torch
from torch import Tensor

from trainers.losses import style
from trainers.networks.encoder import ResidualEncoder


@pytest.fixture
def encoder() -> ResidualEncoder:
    """A small random encoder in double precision."""
    torch.manual_seed(0)
    return ResidualEncoder(8).double().requires_grad_(False).eval()


def _image(count: int = 2, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 32, 48, generator=generator, dtype=torch.float64) * 1.8 - 0.9


def _everywhere(images: Tensor) -> Tensor:
    return torch.ones_like(images[:, 0], dtype=torch.bool)


def test_without_background_losses_are_the_published_ones(encoder: ResidualEncoder) -> None:
    """Sums of outer products over pixels, their mean squared difference over C H W (METHOD.md section 4)."""
    output, source, styled = (_image(1, seed) for seed in (1, 2, 3))
    target = style.fit_target(
        encoder, source, _everywhere(source), style.grams(encoder, styled, _everywhere(styled))
    )
    found = style.losses(encoder, output, target)
    content, matrices, triple = 0.0, 0.0, [output, source, styled]
    for stage in encoder.stages:
        triple = [stage(x) for x in triple]
        _, channels, height, width = triple[0].shape
        ours, _, theirs = ([f for f in x[0].flatten(1).T] for x in triple)
        summed = [torch.stack([torch.outer(f, f) for f in fs]).sum(0) for fs in (ours, theirs)]
        matrices += float((summed[0] - summed[1]).square().mean()) / (channels * height * width)
        content += float((triple[0] - triple[1]).square().mean())
    expected = content, matrices, float((output - source).abs().mean())
    assert [float(x) for x in found] == pytest.approx(expected, rel=1e-10)


def test_style_depends_on_the_brain_alone() -> None:
    features, inside = torch.rand(1, 5, 6, 7), torch.zeros(1, 6, 7, dtype=torch.bool)
    inside[:, 1:4, 2:6] = True
    changed = torch.where(inside[:, None], features, torch.rand(1, 5, 6, 7))
    torch.testing.assert_close(style.gram(changed, inside), style.gram(features, inside))
    part = features[:, :, 1:4, 2:6]
    torch.testing.assert_close(style.gram(features, inside), style.gram(part, _everywhere(part)))


def test_a_slice_in_its_own_style_costs_nothing_and_no_slice_influences_another(
    encoder: ResidualEncoder,
) -> None:
    image = _image()
    mask = _everywhere(image)
    target = style.fit_target(encoder, image, mask, style.grams(encoder, image, mask))
    for loss in style.losses(encoder, image, target):
        torch.testing.assert_close(loss, torch.zeros(2, dtype=torch.float64))
    output, source = _image(3).requires_grad_(), _image(3, 2)
    mask = _everywhere(source)
    target = style.fit_target(encoder, source, mask, style.grams(encoder, _image(3, 3), mask))
    for loss in style.losses(encoder, output, target):
        (gradient,) = torch.autograd.grad(loss[1], output, retain_graph=True)
        assert float(gradient[1].abs().sum()) > 0
        assert float(gradient[[0, 2]].abs().sum()) == 0
