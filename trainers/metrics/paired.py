"""Paired quality of slices in [0, 1], one value a slice: PSNR and MS-SSIM (DATA.md B3).

Of whole slices, or of the pixels of a ``region`` [B, H, W] of bool alone; NaN for a slice without any.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from trainers.errors import InputError
from trainers.metrics.smoothing import smoothing_matrix

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, fine to coarse (Wang et al. 2003, section 3.2); as published they sum to 1.0001."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def slice_psnr(x: Tensor, y: Tensor) -> Tensor:
    """PSNR (dB) of whole slices x, y [B, H, W] in [0, 1], by torchmetrics: [B], float64."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    x, y = x.double(), y.double()
    found: Tensor = peak_signal_noise_ratio(x, y, data_range=1.0, reduction="none", dim=(1, 2))
    return found


def psnr(x: Tensor, y: Tensor, region: Tensor | None = None) -> Tensor:
    """-10 log10 MSE in dB of slices x, y [B, H, W] in [0, 1]: [B], float64; infinite where equal."""
    return -10 * _mean((x.double() - y.double()).square(), region).log10()


def scales_for(shape: tuple[int, ...]) -> int:
    """The most scales, up to 5, whose coarsest still holds an 11 x 11 window, for a shape (..., H, W).

    Raises :class:`InputError` if a side is shorter than one window.
    """
    side = min(shape[-2:])
    scales = sum(1 for scale in range(len(BETAS)) if side > (_WINDOW - 1) * 2**scale)
    if scales == 0:
        raise InputError(f"slice shape: {tuple(shape[-2:])} is not allowed; allowed: sides >= {_WINDOW}")
    return scales


def ms_ssim(x: Tensor, y: Tensor, scales: int = len(BETAS), region: Tensor | None = None) -> Tensor:
    """Multi-scale structural similarity of slices [B, H, W] in [0, 1]: [B], float64, in [0, 1].

    Wang, Simoncelli & Bovik 2003, eq. 7, in the convention of ``pytorch_msssim``: Gaussian windows inside the
    image only, 2 x 2 average pooling with odd sides zero-padded, negative terms set to 0 (torchmetrics'
    ``normalize="relu"``), data range 1. Fewer than 5 scales take the first betas, renormalised to sum 1:
    values at different scales do not compare, so report the count. float64 inside: neither TF32 nor autocast
    changes a score. Torchmetrics' own differs by 1e-4 to 5e-3: its last scale counts windows that reflect the
    border, and it drops the last row of an odd side.

    Of a ``region``, both are black outside it, windows may touch the border, and each window counts by its
    centre's share of the region. Raises :class:`InputError` unless ``scales`` is in 1 to
    ``scales_for(x.shape)``.
    """
    size, most = tuple(x.shape[-2:]), scales_for(x.shape)
    if not 1 <= scales <= most:
        raise InputError(
            f"MS-SSIM scales: {scales} is not allowed for slices of {size}; allowed: 1 to {most}"
        )
    x, y = x.double(), y.double()
    share = None if region is None else region.double()
    if share is not None:
        x, y = x * share, y * share
    means_of_scales = []
    for scale in range(scales):
        if scale > 0:
            x, y, share = _halve(x), _halve(y), None if share is None else _halve(share)
        luminance, contrast = _similarity(x, y, inside=share is None)
        term = contrast if scale < scales - 1 else luminance * contrast
        means_of_scales.append(_mean(term, share).relu())
    means = torch.stack(means_of_scales, dim=-1)
    betas = means.new_tensor(BETAS[:scales])
    return (means ** (betas if scales == len(BETAS) else betas / betas.sum())).prod(-1)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean [B] of [B, H, W], weighted; NaN where all weights are 0."""
    if weights is None:
        return values.mean((-2, -1))
    return (values * weights).sum((-2, -1)) / weights.double().sum((-2, -1))


def _similarity(x: Tensor, y: Tensor, inside: bool) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps of SSIM [B, H, W]; ``inside``: [B, H - 10, W - 10], of windows
    inside the image alone.
    """
    # SSIM needs only the sum of the two variances: four smoothed maps, not five.
    mean_x, mean_y, energy, product = (_smooth(z, inside) for z in (x, y, x * x + y * y, x * y))
    power, cross = mean_x * mean_x + mean_y * mean_y, mean_x * mean_y
    luminance = (2 * cross + _C1) / (power + _C1)
    return luminance, (2 * (product - cross) + _C2) / (energy - power + _C2)


def _smooth(x: Tensor, inside: bool) -> Tensor:
    kept = slice(_WINDOW // 2, -(_WINDOW // 2)) if inside else slice(None)
    rows, columns = (smoothing_matrix(side, _WINDOW, _SIGMA, x)[kept] for side in x.shape[-2:])
    return rows @ (x @ columns.T)


def _halve(x: Tensor) -> Tensor:
    return avg_pool2d(x, 2, padding=(x.shape[-2] % 2, x.shape[-1] % 2))
