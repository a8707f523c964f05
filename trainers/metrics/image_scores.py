"""Scores of one subject's slices [n, H, W] in [0, 1] against its 3 T inside a region: scalars of float64."""

from torch import Tensor

from trainers.metrics.paired import ms_ssim


def scores(x: Tensor, y: Tensor, region: Tensor) -> dict[str, Tensor]:
    """All of them by name."""
    similarity = ssim(x, y, region)
    found = {"ulf_enc": ulf_enc(x, y, region, similarity), "ssim": similarity}
    return found | {"nrmse": nrmse(x, y, region)}


def ssim(x: Tensor, y: Tensor, region: Tensor) -> Tensor:
    """Structural similarity of one scale (Wang et al. 2004), mean over slices that show the region."""
    return ms_ssim(x, y, 1, region).nanmean()


def nrmse(x: Tensor, y: Tensor, region: Tensor) -> Tensor:
    """Root of the summed squared error over the summed square of ``y``; 0 where equal."""
    return _nmse(x, y, region).sqrt()


def ulf_enc(x: Tensor, y: Tensor, region: Tensor, similarity: Tensor) -> Tensor:
    """Image score of the ULF-EnC challenge 2025: .7 SSIM + .1 PSNR / 32 + .1 (1 - MAE) + .1 (1 - NMSE).

    PSNR counts up to 32 dB, so that an equal image has 1. ``similarity``: the images' :func:`ssim`.
    """
    error = (x.double() - y.double())[region]
    decibels = (-10 * error.square().mean().log10()).clamp(max=32)
    rest = decibels / 32 + (1 - error.abs().mean()) + (1 - _nmse(x, y, region))
    return 0.7 * similarity + 0.1 * rest


def _nmse(x: Tensor, y: Tensor, region: Tensor) -> Tensor:
    x, y = x.double()[region], y.double()[region]
    return (x - y).square().sum() / y.square().sum()
