"""Fitting many slices at once equals fitting each; rendering at any resolution; the training step."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.bench.inr import measure
from trainers.data.batch import Batch
from trainers.data.sampling import example_subject
from trainers.losses import style
from trainers.methods import inr
from trainers.methods.base import Context
from trainers.methods.inr import Config, Fit, Method, brain_mask, render
from trainers.networks.encoder import ResidualEncoder
from trainers.networks.siren import Siren

SMALL = Config(width=8, blocks=1, unit=16, levels=4, inner_steps=1, crop=32)


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision, in which Adam's first steps do not magnify the rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _slices(count: int, size: int = 32) -> Tensor:
    """Textures in an ellipse that differs from slice to slice, black around."""
    axis = torch.linspace(-1, 1, size)
    radius = torch.linspace(0.6, 0.9, count)[:, None, None]
    inside = axis[:, None].square() + (axis[None] / 0.8).square() < radius.square()
    return torch.where(inside[:, None], torch.rand(count, 3, size, size) * 1.8 - 0.9, -1.0)


def _siren(config: Config) -> Siren:
    torch.manual_seed(0)
    return Siren(width=config.width, blocks=config.blocks, w0=config.w0)


def _unfitted(config: Config, source: Tensor, centre: Tensor | None = None) -> Fit:
    weights = [w.detach() for w in _siren(config).stack(len(source))]
    return Fit(weights, source, torch.zeros(len(source), 2) if centre is None else centre, config)


def test_at_once_and_one_by_one_end_at_the_same_losses(double: None) -> None:
    """The other side is the benchmark's plain loop: own networks, own Adam, the whole grid."""
    torch.manual_seed(0)
    measured = measure(slices=3, size=32, width=8, iterations=8, slices_at_once=2)
    assert measured.worst < 1e-8


@pytest.mark.parametrize("form", ["residual", "image"])
def test_a_finer_rendering_passes_through_the_pixels(double: None, form: Any) -> None:
    fit = _unfitted(replace(SMALL, form=form), _slices(2))
    coarse, fine = render(fit, 32, 32), render(fit, 63, 63)
    assert float(coarse.std()) > 0.1
    torch.testing.assert_close(fine[:, :, ::2, ::2], coarse)
    assert not torch.equal(fine[:, :, 1::2, ::2], coarse[:, :, :-1])


@pytest.mark.parametrize("form", ["residual", "image"])
def test_background_is_black_and_the_brain_is_the_networks(double: None, form: Any) -> None:
    source = _slices(2)
    fit = _unfitted(replace(SMALL, form=form), source)
    output, inside = render(fit, 32, 32), brain_mask(source)
    assert (output[~inside[:, None].expand_as(output)] == -1).all()
    axis = torch.linspace(-15.5, 15.5, 32) / 16
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).view(-1, 2)
    values = _siren(SMALL)(points).detach().T.view(3, 32, 32)
    if form == "residual":
        values = torch.tanh(torch.atanh(0.95 * source) + values) / 0.95
    expected = torch.where(inside[:, None], values, -1.0)
    torch.testing.assert_close(output, expected)


def test_a_crop_is_rendered_as_part_of_the_slice_and_a_slice_without_brain_stays_black(double: None) -> None:
    """Coordinates count pixels: cropping and rendering commute."""
    source = _slices(2)
    whole = render(_unfitted(SMALL, source), 32, 32)
    centre = torch.tensor([[4 + 8 - 16, 14 + 8 - 16]]).expand(2, -1) / SMALL.unit
    part = render(_unfitted(SMALL, source[:, :, 4:20, 14:30], centre), 16, 16)
    torch.testing.assert_close(part, whole[:, :, 4:20, 14:30])
    black = torch.full((1, 3, 32, 32), -1.0)
    assert torch.equal(render(_unfitted(SMALL, black), 32, 32), black)


def test_fitting_lowers_every_slices_loss() -> None:
    torch.manual_seed(0)
    source, styled, encoder = _slices(3), _slices(3), ResidualEncoder(8).requires_grad_(False)
    goal = style.fit_target(
        encoder, source, brain_mask(source), style.grams(encoder, styled, brain_mask(styled))
    )
    config = replace(SMALL, fit_lr=1e-3)
    before, after = (
        inr.fit_slices(_siren(config), encoder, goal, torch.zeros(3, 2), config, n)[1] for n in (1, 40)
    )
    assert (after < 0.9 * before).all()


def test_the_bank_finds_a_level_whatever_its_contrast() -> None:
    torch.manual_seed(0)
    subject = torch.nn.functional.interpolate(torch.randn(9, 3, 6, 6), (40, 48), mode="bilinear")
    bank, encoder = inr.StyleBank(5, 8), ResidualEncoder(8)
    bank.fill(subject, encoder)
    chosen = bank.nearest(0.4 * subject[[0, 2, 4, 6, 8]] + 5)
    assert chosen.tolist() == [0, 1, 2, 3, 4]
    everywhere = torch.ones(1, 40, 48, dtype=torch.bool)
    expected_grams = style.grams(encoder, subject[6:7], everywhere)
    for found, expected in zip(bank(subject[6:7]), expected_grams, strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_training_follows_the_gradient_at_the_fitted_weights(tiny: Any) -> None:
    """With fits that do not move, that is the gradient of the mean loss at the shared weights."""
    config, references = replace(SMALL, fit_lr=1e-12), tiny.references
    slices = example_subject(tiny.cohort, references.config.channels)
    context = Context(references.config, references.teacher, references.domain, slices)
    torch.manual_seed(0)
    method, source, target = Method(config, context), _slices(2), _slices(2)
    followed: list[Tensor] = []

    def minimise(names: Sequence[str], loss: Tensor) -> None:
        parameters = [p for name in names for p in method.networks[name].parameters()]
        followed.extend(torch.autograd.grad(loss, parameters))

    method.step(Batch(source, brain_mask(source), target, brain_mask(target)), 0, minimise)
    encoder = references.domain
    assert isinstance(encoder, ResidualEncoder)
    styled = style.grams(encoder, target, brain_mask(target))
    goal = style.fit_target(encoder, source, brain_mask(source), styled)
    at = inr.pixel_grid(source, torch.zeros(2, 2), (32, 32), config.unit)
    output = inr.image(method.siren.stack(2), at, config)
    loss = inr.objective(output, goal, encoder, config).mean()
    expected = torch.autograd.grad(loss, list(method.siren.parameters()))
    for got, want in zip(followed, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-5)
