"""The scores that a trial reports per refinement step count."""

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
