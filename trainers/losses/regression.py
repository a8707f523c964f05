"""Regression of an image onto a known answer."""

from torch import Tensor


def brain_error(output: Tensor, target: Tensor, mask: Tensor, power: int = 1) -> Tensor:
    """Mean of |output - target|^power of [B, 3, H, W] over the pixels of ``mask`` [B, H, W] and channels."""
    inside = mask[:, None].to(output)
    weighed = (output - target).abs().pow(power) * inside
    return weighed.sum() / (inside.sum() * output.shape[1]).clamp(min=1)
