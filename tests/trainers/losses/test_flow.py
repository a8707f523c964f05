"""Flows in closed form: identity, shifts, turns, a linear field's roughness; SciPy for the rest."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from trainers.losses import flow


def _image(*size: int) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _constant(batch: int, height: int, width: int, columns: float, rows: float) -> Tensor:
    return torch.tensor([columns, rows], dtype=torch.float64)[:, None, None].expand(batch, 2, height, width)


def test_no_flow_is_the_identity_and_half_precision_is_not_used() -> None:
    image = _image(2, 3, 12, 20)
    torch.testing.assert_close(flow.warp(image, _constant(2, 12, 20, 0, 0)), image, rtol=0, atol=1e-12)
    image = _image(1, 1, 1024, 1024).float()
    warped = flow.warp(image.bfloat16(), _constant(1, 1024, 1024, 1, 0).bfloat16())
    assert warped.dtype == torch.float32
    torch.testing.assert_close(warped[..., :-1], image.bfloat16().float()[..., 1:], rtol=0, atol=1e-3)


@pytest.mark.parametrize("padding, mode", [("border", "nearest"), ("zeros", "grid-constant")])
def test_any_flow_is_scipys_linear_interpolation(padding: str, mode: str) -> None:
    image, field = _image(1, 1, 9, 13), 6 * _image(1, 2, 9, 13) - 3
    rows, columns = np.mgrid[:9, :13]
    positions = [rows + field[0, 1].numpy(), columns + field[0, 0].numpy()]
    expected = map_coordinates(image[0, 0].numpy(), positions, order=1, mode=mode)
    np.testing.assert_allclose(flow.warp(image, field, padding)[0, 0], expected, atol=1e-12)


def test_gradients_are_exact_and_the_roughness_of_linear_fields_has_a_closed_form() -> None:
    """Away from whole pixels, where bilinear interpolation has a kink."""
    image = _image(1, 2, 4, 5).requires_grad_()
    field = (0.2 + 0.5 * _image(1, 2, 4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(flow.warp, (image, field))
    assert torch.autograd.gradcheck(flow.smoothness, _image(1, 2, 4, 5).requires_grad_())
    assert float(flow.smoothness(_constant(1, 5, 6, 3, -2))) == 0
    # With u = a x + b y and v = c x + d y: (a^2 + c^2) / 2 + (b^2 + d^2) / 2.
    for a, b, c, d in ((1.0, 0, 0, 0), (0, 2, 0, 0), (0.5, -1, 3, 0.25)):
        y, x = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
        field = torch.stack((a * x + b * y, c * x + d * y))[None]
        assert float(flow.smoothness(field)) == pytest.approx((a * a + b * b + c * c + d * d) / 2)


def _affine(image: Tensor, angle: float, scale: float, columns: float, rows: float) -> Tensor:
    turn, size = (torch.full((len(image),), v, dtype=torch.float64) for v in (angle, scale))
    shift = torch.tensor([columns, rows], dtype=torch.float64).expand(len(image), 2)
    return flow.warp(image, flow.affine_flow(turn, size, shift, image.shape[2], image.shape[3]), "zeros")


def test_quarter_turns_and_the_order_of_turn_scale_and_shift() -> None:
    """Against the matrix of the forward map, point by point: content at p is shown at s R p + t."""
    angle, scale, shift = 0.3, 1.1, torch.tensor([2.0, -1.0], dtype=torch.float64)
    turned, scaled = (torch.tensor([v], dtype=torch.float64) for v in (angle, scale))
    field = flow.affine_flow(turned, scaled, shift[None], 7, 5)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    rows, columns = np.mgrid[:7, :5]
    shown = np.stack((columns - 2.0, rows - 3.0)).reshape(2, -1)
    content = shown + field[0].numpy().reshape(2, -1)
    np.testing.assert_allclose(scale * turn @ content + shift.numpy()[:, None], shown, atol=1e-12)
    for quarters in (1, 2, 3):
        image = _image(2, 1, 8, 8)
        turned = _affine(image, quarters * math.pi / 2, 1, 0, 0)
        torch.testing.assert_close(turned, image.rot90(-quarters, (2, 3)), rtol=0, atol=1e-12)


def test_jitter_keeps_black_black_and_moves_the_brain_within_bounds() -> None:
    image = torch.full((64, 1, 32, 32), -1.0)
    torch.manual_seed(0)
    assert torch.equal(flow.jitter(image, 5), image)
    image[:, :, 12:20, 12:20] = 0.5
    moved = flow.jitter(image, 5)
    assert bool((moved[:, :, 0] == -1).all()) and float(moved.max()) == pytest.approx(0.5)
    y = torch.arange(32.0)[:, None] - 15.5
    mass = moved + 1
    centres = (mass * y).sum((1, 2, 3)) / mass.sum((1, 2, 3))
    areas = mass.sum((1, 2, 3)) / (1.5 * 64)
    assert 2.0 < float(centres.abs().max()) < 0.1 * 32 + 0.1  # 2 percent of 32 pixels a level
    assert 0.9**2 < float(areas.min()) * 1.01 < 1 < float(areas.max()) < 1.01 * 1.1**2
    assert len({round(float(c), 6) for c in centres}) == 64  # each its own
    image = 2 * _image(2, 3, 16, 24).float() - 1
    torch.testing.assert_close(flow.jitter(image, 0), image, rtol=0, atol=1e-5)
