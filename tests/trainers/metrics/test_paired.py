"""PSNR and MS-SSIM against closed forms, pytorch_msssim and scikit-image."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim  # type: ignore[import-untyped]
from skimage.metrics import structural_similarity
from torch import Tensor

from trainers.errors import InputError
from trainers.metrics.paired import BETAS, ms_ssim, psnr, scales_for, slice_psnr


def pair(height: int, width: int, noise: float = 0.08, count: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth random images in [0, 1] and noisy, shaded copies."""
    generator = torch.Generator().manual_seed(height + width)
    coarse = torch.rand(count, 1, height // 6, width // 6, generator=generator)
    x = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").squeeze(1).clamp(0, 1)
    y = 0.9 * x + 0.05 + noise * torch.randn(x.shape, generator=generator)
    return x, y.clamp(0, 1)


def by_pytorch_msssim(x: Tensor, y: Tensor, **weights: Any) -> Tensor:
    images = (image[:, None].double() for image in (x, y))
    result: Tensor = reference_ms_ssim(*images, data_range=1.0, size_average=False, **weights)
    return result


def test_psnr_is_the_error_in_decibels_and_exceeds_that_of_the_mask_by_its_fraction() -> None:
    x = torch.rand(3, 40, 30) * 0.5
    errors = torch.tensor([0.1, 0.01, 0.5])
    assert psnr(x, x + errors[:, None, None]).tolist() == pytest.approx(
        [20, 40, 20 * math.log10(2)], abs=1e-4
    )
    assert psnr(x, x).tolist() == [math.inf] * 3
    assert torch.allclose(
        slice_psnr(x, x + errors[:, None, None]), psnr(x, x + errors[:, None, None]), rtol=0, atol=1e-5
    )
    # DATA.md trap 9, for equal backgrounds.
    x, y = pair(100, 80)
    x, y = (torch.nn.functional.pad(image, (30, 10, 20, 40)) for image in (x, y))
    inside = np.s_[:, 20:120, 30:110]
    gain = -10 * math.log10(100 * 80 / (160 * 120))
    assert torch.allclose(psnr(x, y) - psnr(x[inside], y[inside]), torch.tensor(gain, dtype=torch.float64))
    region = torch.zeros_like(x, dtype=torch.bool)
    region[inside] = True
    assert torch.allclose(psnr(x, y, region), psnr(x[inside], y[inside]))
    region[1] = False
    assert psnr(x, y, region).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(176, 176), (192, 208), (181, 177), (161, 190)], ids=str)
def test_ms_ssim_equals_pytorch_msssim_also_for_odd_sides(shape: tuple[int, int]) -> None:
    x, y = pair(*shape)
    expected = by_pytorch_msssim(x, y)
    assert float(expected.max()) < 0.99
    assert torch.allclose(ms_ssim(x, y), expected, rtol=0, atol=1e-6)


def test_of_a_region_what_is_outside_counts_nowhere_and_one_scale_is_scikit_images_map_in_it() -> None:
    x, y = pair(96, 80)
    region = torch.zeros_like(x, dtype=torch.bool)
    region[0, 20:70, 15:60], region[1, 30:40] = True, True
    other = torch.where(region, y, torch.rand(y.shape, generator=torch.Generator().manual_seed(1)))
    for scales in (1, 3):
        found = ms_ssim(x, y, scales, region)
        assert torch.equal(found[:2], ms_ssim(x, other, scales, region)[:2]) and found[2].isnan()
        assert torch.allclose(ms_ssim(x, x, scales, region)[:2], torch.ones(2, dtype=torch.float64))
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        *((image[0] * region[0]).double().numpy() for image in (x, y)),
        **{"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5},
        **{"use_sample_covariance": False, "full": True},
    )
    assert float(ms_ssim(x, y, 1, region)[0]) == pytest.approx(full[region[0].numpy()].mean(), abs=1e-10)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_fewer_scales_take_the_first_betas_renormalised(scales: int) -> None:
    betas = [beta / sum(BETAS[:scales]) for beta in BETAS[:scales]]
    x, y = pair(176, 192)
    assert torch.allclose(ms_ssim(x, y, scales), by_pytorch_msssim(x, y, weights=betas), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(112, 96), (11, 20)], ids=str)
def test_one_scale_is_scikit_image_ssim_on_windows_inside_the_image(shape: tuple[int, int]) -> None:
    x, y = pair(*shape, count=2)
    for i in range(2):
        _, full = structural_similarity(  # type: ignore[no-untyped-call]
            *(image[i].double().numpy() for image in (x, y)),
            **{"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5},
            **{"use_sample_covariance": False, "full": True},
        )
        expected = full[5:-5, 5:-5].mean()
        assert float(ms_ssim(x[i : i + 1], y[i : i + 1], 1)) == pytest.approx(expected, abs=1e-10)


def test_ms_ssim_is_bounded_symmetric_falls_with_noise_and_needs_a_window() -> None:
    x, _ = pair(112, 96)
    assert ms_ssim(x, x, 4).tolist() == pytest.approx([1, 1, 1], abs=1e-14)
    assert ms_ssim(0 * x, 0 * x, 4).tolist() == pytest.approx([1, 1, 1], abs=1e-14)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    levels = [ms_ssim(x, x + sd * noise, 4) for sd in (0.01, 0.03, 0.1, 0.3)]
    assert all(bool((finer > coarser).all()) for finer, coarser in pairwise(levels))
    assert torch.equal(ms_ssim(x, x + 0.1 * noise, 4), ms_ssim(x + 0.1 * noise, x, 4))
    x = torch.rand(2, 112, 96, generator=torch.Generator().manual_seed(0))
    assert ms_ssim(x, 1 - x, 4).tolist() == [0, 0]
    x, y = pair(112, 96)
    expected = ms_ssim(x, y, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ms_ssim(x, y, 4), expected)
    with pytest.raises(InputError, match=r"\(10, 50\) is not allowed"):
        scales_for((4, 10, 50))
    with pytest.raises(InputError, match="scales: 0 is not allowed"):
        ms_ssim(torch.rand(1, 96, 96), torch.rand(1, 96, 96), 0)


@pytest.mark.parametrize(
    ("shape", "scales"),
    [
        *(((11, 300), 1), ((20, 20), 1), ((21, 21), 2), ((62, 72), 3)),
        *(((112, 96), 4), ((160, 400), 4), ((161, 161), 5), ((9, 256, 192), 5)),
    ],
    ids=str,
)
def test_scales_for_is_the_most_that_works(shape: tuple[int, ...], scales: int) -> None:
    assert scales_for(shape) == scales
    images = torch.rand(1, *shape[-2:])
    assert bool(ms_ssim(images, images, scales).isfinite().all())
    if scales < 5:
        with pytest.raises(InputError, match=rf"scales: {scales + 1} is not allowed.*1 to {scales}$"):
            ms_ssim(images, images, scales + 1)
