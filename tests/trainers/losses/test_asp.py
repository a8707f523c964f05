"""ASP on the phantom of METHOD.md 5.1, and against numpy and scipy.

METHOD.md gives no sizes for its ellipses. These (semi-axes 46 and 42 pixels, ventricles 10 and 4) give its
values within 10 % for L_tri and 0.05 for L_bnd, and those of the 5 % growth.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from trainers.errors import InputError
from trainers.losses import asp

THRESHOLDS = asp.Thresholds(tau_m=0.1, T_m=0.03, t_f=0.9, t_b=0.1, delta=2, s=0.5)


def _phantom(shift: float = 0, scale: float = 1) -> Tensor:
    y, x = np.mgrid[:128, :128] - 63.5
    x = x - shift
    image = np.where(np.hypot(x / (42 * scale), y / (46 * scale)) <= 1, 0.5, 0)
    for side in (-7 * scale, 7 * scale):
        image[np.hypot((x - side) / (4 * scale), y / (10 * scale)) <= 1] = 0.06
    return torch.tensor(image, dtype=torch.float32)[None]


def _both(output: Tensor, kept: asp.Structure) -> tuple[Tensor, Tensor]:
    return asp.trimap_loss(output, kept, THRESHOLDS), asp.boundary_loss(output, kept, THRESHOLDS)


def _losses(output: Tensor) -> tuple[float, float]:
    trimap, bound = _both(output, asp.structure(_phantom(), THRESHOLDS))
    return float(trimap), float(bound)


SHIFTED = [(1, 0.12, 0.03), (2, 0.21, 0.14), (3, 0.31, 0.35), (6, 0.59, 0.72)]


@pytest.mark.parametrize(("pixels", "trimap", "bound"), SHIFTED)
def test_shifts_cost_the_values_of_method_md(pixels: int, trimap: float, bound: float) -> None:
    for shift in (pixels, -pixels):
        found = _losses(_phantom(shift))
        assert found[0] == pytest.approx(trimap, rel=0.1) and found[1] == pytest.approx(bound, abs=0.05)


def test_losses_of_identity_growth_and_blur_are_those_of_method_md_and_grow_with_the_shift() -> None:
    values = [_losses(_phantom(shift)) for shift in range(9)]
    assert values[0][0] == pytest.approx(0.018, abs=2e-3) and values[0][1] == pytest.approx(0.003, abs=2e-3)
    for a, b in pairwise(values):
        assert b[0] > a[0] and b[1] > a[1]
    trimap, bound = _losses(_phantom(scale=1.05))
    assert trimap == pytest.approx(0.39, rel=0.1) and bound == pytest.approx(0.27, abs=0.05)
    blurred = torch.from_numpy(ndimage.uniform_filter(_phantom()[0].numpy(), 5))[None]
    trimap, bound = _losses(blurred)
    assert trimap == pytest.approx(0.07, abs=0.01) and bound == pytest.approx(0.18, abs=0.02)


def test_constant_outputs_have_closed_forms_and_finite_gradients() -> None:
    """Half the mean of the softplus of the wrong and of the right logit; without an edge L_bnd is 1."""

    def softplus(z: float) -> float:
        return math.log1p(math.exp(z))

    blank, bright = -0.1 / 0.03, 0.4 / 0.03
    kept = asp.structure(_phantom(), THRESHOLDS)
    for level in (0.0, 0.1, 0.5, 1.0):
        output = torch.full((1, 128, 128), level, requires_grad=True)
        (gradient,) = torch.autograd.grad(torch.cat(_both(output, kept)).sum(), output)
        assert bool(gradient.isfinite().all()) and float(gradient.abs().sum()) > 0
    for logit, level, measured, digit in ((blank, 0.0, 1.70, 5e-3), (bright, 0.5, 6.7, 0.05)):
        trimap = softplus(-logit) / 2 + softplus(logit) / 2
        assert _losses(torch.full((1, 128, 128), level)) == pytest.approx((trimap, 1), rel=1e-4)
        assert trimap == pytest.approx(measured, abs=digit)


def _reference(source: NDArray[np.float64], output: NDArray[np.float64]) -> tuple[float, float]:
    """Equations 6b to 8 in float64 numpy, with scipy's exact distance."""
    th = THRESHOLDS

    def soft(image: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mask = 1 / (1 + np.exp(-(image - th.tau_m) / th.T_m))
        padded = np.pad(mask, 1, mode="edge")
        gy, gx = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2, (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
        return mask, np.sqrt(gx**2 + gy**2 + 1e-12) - 1e-6

    m_in, b_in = soft(source)
    inside = m_in >= 0.5
    points = (inside & ~ndimage.binary_erosion(inside, border_value=1)) | (b_in > 0.1)
    distance = ndimage.distance_transform_edt(~points)
    gate = (1 + np.exp(-th.delta / th.s)) / (1 + np.exp((distance - th.delta) / th.s))
    z, b_out = (output - th.tau_m) / th.T_m, soft(output)[1]
    positive, negative = np.logaddexp(0, -z)[m_in > th.t_f].mean(), np.logaddexp(0, z)[m_in < th.t_b].mean()
    return (positive + negative) / 2, 1 - (b_out * gate).sum() / (b_out.sum() + 1)


@pytest.mark.parametrize("seed", range(3))
def test_both_losses_agree_with_numpy_on_noisy_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = np.clip(
        _phantom(rng.uniform(-9, 9))[0].double().numpy() + 0.02 * rng.standard_normal((128, 128)), 0, 1
    )
    output = ndimage.gaussian_filter(np.roll(source, seed, 0), 0.7)
    images = [torch.tensor(image, dtype=torch.float32)[None] for image in (source, output)]
    kept = asp.structure(images[0], THRESHOLDS)
    np.testing.assert_allclose(torch.cat(_both(images[1], kept)), _reference(source, output), atol=1e-4)


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.0), (0.01, -0.03), (0.0, 0.0)])
def test_the_boundary_of_a_ramp_is_its_slope_and_half_of_it_across_an_edge(a: float, b: float) -> None:
    y, x = torch.meshgrid(*[torch.arange(8.0, dtype=torch.float64)] * 2, indexing="ij")
    slope = asp.boundary((0.5 + a * x + b * y)[None])[0]
    np.testing.assert_allclose(slope[1:-1, 1:-1], math.hypot(a, b), atol=1e-6)
    np.testing.assert_allclose(slope[1:-1, 0], math.hypot(a / 2, b), atol=1e-6)
    np.testing.assert_allclose(slope[-1, 1:-1], math.hypot(a, b / 2), atol=1e-6)


@pytest.mark.parametrize("radius", [2, 6, 11])
def test_the_truncated_distance_is_scipys_clipped(radius: int) -> None:
    points = np.random.default_rng(radius).random((2, 48, 64)) < 0.006
    distance = asp.truncated_distance(torch.from_numpy(points), radius)
    for mask, found in zip(points, distance, strict=True):
        expected = ndimage.distance_transform_edt(~mask)
        assert expected.max() > radius
        np.testing.assert_allclose(found, np.minimum(expected, radius), atol=1e-6)
    assert torch.equal(
        asp.truncated_distance(torch.zeros(1, 9, 9).bool(), radius), torch.full((1, 9, 9), float(radius))
    )


def test_the_gate_falls_with_the_distance_and_intensity_is_the_channel_maximum() -> None:
    gate = asp.boundary_gate(torch.tensor([0.0, 2.0, 6.0]), 2, 0.5)
    assert gate.tolist() == pytest.approx([1, (1 + math.exp(-4)) / 2, 0], abs=4e-4)
    kept = asp.structure(_phantom(), THRESHOLDS)
    on = asp.hard_edges(_phantom() >= 0.1)
    np.testing.assert_allclose(kept.gate[on], 1, atol=1e-6)
    assert float(kept.gate.max()) <= 1 + 1e-6 and float(kept.gate.min()) < 1e-3
    x = torch.tensor([-1.0, 0.2, 1.0, -0.5, 0.0, -1.0]).view(1, 3, 1, 2)
    assert asp.intensity(x)[0, 0].tolist() == pytest.approx([1.0, 0.6])


@pytest.mark.parametrize("level", [0.0, 0.06, 0.5])
def test_a_source_without_structure_has_no_weight(level: float) -> None:
    kept = asp.structure(torch.cat((torch.full((1, 128, 128), level), _phantom())), THRESHOLDS)
    assert kept.usable.tolist() == [0, 1]
    output = _phantom(3).expand(2, -1, -1).clone().requires_grad_()
    losses = torch.stack(_both(output, kept)).sum(0)
    torch.autograd.backward(losses.sum())
    assert losses[0] == 0 and float(losses[1].detach()) == pytest.approx(sum(_losses(_phantom(3))), rel=1e-5)
    assert output.grad is not None
    assert bool((output.grad[0] == 0).all()) and bool(output.grad.isfinite().all())


def test_gradients_are_those_of_finite_differences_and_none_reaches_the_source() -> None:
    kept = asp.structure(F.interpolate(_phantom()[:, None], 12, mode="area")[:, 0], THRESHOLDS)
    assert kept.usable.tolist() == [1]
    generator = torch.Generator().manual_seed(0)
    image = (0.3 * torch.rand(1, 12, 12, generator=generator, dtype=torch.float64)).requires_grad_()
    for loss in (asp.trimap_loss, asp.boundary_loss):
        torch.autograd.gradcheck(lambda x, loss=loss: loss(x, kept, THRESHOLDS), (image,))
    torch.autograd.gradcheck(asp.boundary, (image,))
    source = _phantom().requires_grad_()
    kept = asp.structure(source, THRESHOLDS)
    assert not any(t.requires_grad for t in (kept.foreground, kept.background, kept.gate, kept.usable))
    output = _phantom(2).requires_grad_()
    torch.autograd.backward(torch.cat(_both(output, kept)).sum())
    assert source.grad is None and output.grad is not None and float(output.grad.abs().sum()) > 0


@pytest.mark.parametrize(("tau_m", "t_b"), [(0.1, 0.1), (0.05, 0.2), (0.3, 0.01)])
def test_thresholds_without_a_background_are_refused(tau_m: float, t_b: float) -> None:
    """Black is background if and only if sigmoid(-tau_m / T_m) < t_b."""
    limit = tau_m / math.log((1 - t_b) / t_b)
    for factor in (1.001, 3):
        with pytest.raises(
            InputError, match=r"^T_m: .* is not feasible with tau_m=.*; allowed: T_m < [^\n]*$"
        ):
            asp.Thresholds(tau_m, factor * limit, 0.9, t_b, 2, 0.5)
        assert 1 / (1 + math.exp(tau_m / (factor * limit))) > t_b
    kept = asp.structure(_phantom(), asp.Thresholds(tau_m, 0.99 * limit, 0.9, t_b, 2, 0.5))
    assert bool(kept.background[0, 0, 0])
