"""Paired quality of slices in [0, 1], one value a slice: PSNR and MS-SSIM (DATA.md B3)."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from trainers.errors import InputError
from trainers.metrics.smoothing import smoothing_matrix

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, fine to coarse (Wang et al. 2003, section 3.2); as published they sum to 1.0001."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """-10 log10 MSE in dB over whole slices x, y [B, H, W] in [0, 1]: [B], float64; infinite where equal."""
    return -10 * (x.double() - y.double()).square().mean((-2, -1)).log10()


def scales_for(shape: tuple[int, ...]) -> int:
    """The most scales, up to 5, whose coarsest still holds an 11 x 11 window, for a shape (..., H, W).

    Raises :class:`InputError` if a side is shorter than one window.
    """
    side = min(shape[-2:])
    scales = sum(1 for scale in range(len(BETAS)) if side > (_WINDOW - 1) * 2**scale)
    if scales == 0:
        raise InputError(f"slice shape: {tuple(shape[-2:])} is not allowed; allowed: sides >= {_WINDOW}")
    return scales


def ms_ssim(x: Tensor, y: Tensor, scales: int = len(BETAS)) -> Tensor:
    """Multi-scale structural similarity of slices [B, H, W] in [0, 1]: [B], float64, in [0, 1].

    Wang, Simoncelli & Bovik 2003, eq. 7, in the convention of ``pytorch_msssim``: Gaussian windows inside the
    image only, 2 x 2 average pooling with odd sides zero-padded, negative terms set to 0 (torchmetrics'
    ``normalize="relu"``), data range 1. Fewer than 5 scales take the first betas, renormalised to sum 1:
    values at different scales do not compare, so report the count. float64 inside: neither TF32 nor autocast
    changes a score. Raises :class:`InputError` unless ``scales`` is in 1 to ``scales_for(x.shape)``.
    """
    size, most = tuple(x.shape[-2:]), scales_for(x.shape)
    if not 1 <= scales <= most:
        raise InputError(
            f"MS-SSIM scales: {scales} is not allowed for slices of {size}; allowed: 1 to {most}"
        )
    x, y = x.double(), y.double()
    terms = []
    for scale in range(scales):
        if scale > 0:
            x, y = _halve(x), _halve(y)
        luminance, contrast = _similarity(x, y)
        terms.append(contrast if scale < scales - 1 else luminance * contrast)
    means = torch.stack([term.mean((-2, -1)).relu() for term in terms], dim=-1)
    betas = means.new_tensor(BETAS[:scales])
    return (means ** (betas if scales == len(BETAS) else betas / betas.sum())).prod(-1)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps of SSIM over valid windows, [B, H - 10, W - 10] each."""
    # SSIM needs only the sum of the two variances: four smoothed maps, not five.
    mean_x, mean_y, energy, product = map(_smooth, (x, y, x * x + y * y, x * y))
    power, cross = mean_x * mean_x + mean_y * mean_y, mean_x * mean_y
    luminance = (2 * cross + _C1) / (power + _C1)
    return luminance, (2 * (product - cross) + _C2) / (energy - power + _C2)


def _smooth(x: Tensor) -> Tensor:
    valid = slice(_WINDOW // 2, -(_WINDOW // 2))
    rows, columns = (smoothing_matrix(side, _WINDOW, _SIGMA, x)[valid] for side in x.shape[-2:])
    return rows @ (x @ columns.T)


def _halve(x: Tensor) -> Tensor:
    return avg_pool2d(x, 2, padding=(x.shape[-2] % 2, x.shape[-1] % 2))
