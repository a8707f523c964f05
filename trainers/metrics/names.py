"""The scores that a trial reports per refinement step count."""

from collections.abc import Sequence

METRICS = {
    "fid": "minimize",
    "kid": "minimize",
    "rad_fid": "minimize",
    "piqe": "minimize",
    "psnr": "maximize",
    "psnr_t1": "maximize",
    "psnr_t2": "maximize",
    "ms_ssim": "maximize",
    "ms_ssim_t1": "maximize",
    "ms_ssim_t2": "maximize",
    "seconds_per_volume": "minimize",
}
"""Every score with the direction in which it is better; without contrast, the mean of both."""


def score_names(contrasts: Sequence[str], paired: bool) -> tuple[str, ...]:
    """What is measured of outputs with these contrasts, whose subjects were scanned at 3 T too, or not."""
    compared = [
        name for kind in ("psnr", "ms_ssim") for name in (kind, *(f"{kind}_{c.lower()}" for c in contrasts))
    ]
    return ("fid", "kid", "rad_fid", "piqe", *(compared if paired else ()))
