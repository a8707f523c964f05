"""Reference corruptions of real 3 T slices: what a measure of realism should order.

Each is a fixed function of the slices: generators are seeded by the corruption's name.
Images [N, C, H, W] of the delivered contrasts in [0, 1], 0 outside the brain.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainers.metrics import distortions
from trainers.metrics.edges import smooth_inside

BLOCK = 32.0
"""Side (mm) of the blocks that are shuffled."""
SEAM = 8.0
"""Width (mm) over which a block with soft seams fades in."""
WARP, WARP_SIGMA = 3.0, 12.0
"""Largest displacement of the elastic distortion, and the sigma of its smoothing (mm)."""
CORTEX = 14.0
"""Depth (mm) of the rim that is pasted."""
BIAS = 0.05
"""Standard deviation in the brain of the bias field's logarithm."""
_LEVELS = 512  # quantiles of a histogram
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Pairs:
    """A paired split: the same slices at both fields."""

    real: Tensor
    """[N, C, H, W], the 3 T."""
    mask: Tensor
    """[N, H, W] bool, the brain at 3 T."""
    source: Tensor
    """[N, C, H, W], the 64 mT input."""
    source_mask: Tensor
    subjects: Sequence[tuple[int, int]]
    """Rows (start, stop) of each, inferior to superior."""
    spacing: float
    """In the plane (mm)."""


Corruption = Callable[[Pairs], Tensor]


def corrupted(pairs: Pairs, name: str) -> tuple[Tensor, Tensor]:
    """The slices [N, C, H, W] in [0, 1] of one of :data:`CORRUPTIONS`, and their brain masks [N, H, W]."""
    images = CORRUPTIONS[name](pairs)
    mask = pairs.source_mask if name in FROM_INPUT else pairs.mask
    return torch.where(mask[:, None], images.clamp(0, 1), 0), mask


def noise(pairs: Pairs, deviation: float) -> Tensor:
    """Gaussian noise of a deviation in units of the intensity range."""
    return pairs.real + deviation * torch.randn(pairs.real.shape, generator=_generator(f"noise {deviation}"))


def blur(pairs: Pairs, sigma: float) -> Tensor:
    """Gaussian blur in the plane, of sigma (mm), inside the brain."""
    contrasts = [smooth_inside(x, pairs.mask, sigma / pairs.spacing) for x in pairs.real.unbind(1)]
    return torch.stack(contrasts, 1).to(pairs.real)


def shuffle(pairs: Pairs, seam: float) -> Tensor:
    """Blocks of :data:`BLOCK` mm inside the brain in another order; ``seam`` (mm) as in ``distortions``."""
    side = round(BLOCK / pairs.spacing)
    return distortions.shuffled(
        pairs.real, pairs.mask, pairs.subjects, side, seam / pairs.spacing, _generator("shuffled")
    )


def elastic(pairs: Pairs) -> Tensor:
    """A smooth random warp of each slice, which keeps sharpness and neighbourhoods."""
    mm = pairs.spacing
    return distortions.warped(pairs.real, WARP / mm, WARP_SIGMA / mm, _generator("elastic"))


def bias(pairs: Pairs) -> Tensor:
    """A receive field of each subject, quadratic in the plane and the same for all its slices."""
    height, width = pairs.real.shape[-2:]
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    terms = torch.stack([term.expand(height, width) for term in (y, x, x * y, y * y, x * x)])
    result, generator = pairs.real.clone(), _generator("bias")
    for start, stop in pairs.subjects:
        field = torch.einsum("k,khw->hw", torch.randn(len(terms), generator=generator), terms)
        inside = field[pairs.mask[start:stop].any(0)]
        result[start:stop] *= torch.exp(BIAS * (field - inside.mean()) / inside.std())
    return result


def invented(pairs: Pairs) -> Tensor:
    """Blur of 2 mm, and in place of the lost detail noise of its spectrum: sharp, and not the subject's."""
    smooth = blur(pairs, 2.0)
    lost = torch.fft.rfft2(torch.where(pairs.mask[:, None], pairs.real - smooth, 0))
    white = torch.randn(len(smooth), 1, *smooth.shape[2:], generator=_generator("invented"))
    phase = torch.fft.rfft2(white)
    detail = torch.fft.irfft2(lost.abs() * phase / phase.abs().clamp(min=_TINY), s=smooth.shape[2:])
    # The detail was in the brain, its noise fills the slice: this makes their variance in a pixel equal.
    share = pairs.mask.float().mean((1, 2)).clamp(min=1e-3)
    result: Tensor = smooth + detail / share.sqrt()[:, None, None, None]
    return result


def histogram_matched(pairs: Pairs) -> Tensor:
    """The input, the intensities of each subject's brain rank-matched to those of all real slices."""
    levels = torch.linspace(0, 1, _LEVELS, dtype=torch.float64)
    result = pairs.source.clone()
    for contrast in range(result.shape[1]):
        wanted = _quantiles(pairs.real[:, contrast][pairs.mask], levels)
        for start, stop in pairs.subjects:
            inside = pairs.source_mask[start:stop]
            own = pairs.source[start:stop, contrast][inside]
            matched = _lookup(own.double(), _quantiles(own, levels), wanted)
            result[start:stop, contrast][inside] = matched.to(result)
    return result


FROM_REAL: Mapping[str, Corruption] = {
    "floor": lambda pairs: pairs.real,
    "noise 2 %": partial(noise, deviation=0.02),
    "noise 5 %": partial(noise, deviation=0.05),
    "gain .95": lambda pairs: 0.95 * pairs.real,
    "blur 1/2 pixel": lambda pairs: blur(pairs, pairs.spacing / 2),
    "blur 1 mm": partial(blur, sigma=1.0),
    "blur 2 mm": partial(blur, sigma=2.0),
    "shuffled": partial(shuffle, seam=0.0),
    "shuffled, soft seams": partial(shuffle, seam=SEAM),
    "elastic": elastic,
    "glued halves": lambda pairs: distortions.mirrored_halves(pairs.real, pairs.mask, pairs.subjects),
    "pasted cortex": lambda pairs: distortions.pasted_cortex(
        pairs.real, pairs.mask, pairs.subjects, CORTEX / pairs.spacing
    ),
    "bias field": bias,
    "invented texture": invented,
}
"""Corruptions of real slices by the name shown in tables; ``floor`` is none."""
FROM_INPUT: Mapping[str, Corruption] = {
    "histogram-matched": histogram_matched,
    "input": lambda pairs: pairs.source,
}
"""What costs no training."""
CORRUPTIONS: Mapping[str, Corruption] = {**FROM_REAL, **FROM_INPUT}


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]))


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    # torch.quantile refuses more than 16 million values.
    ranked = values.double().sort().values
    return ranked[(levels * (len(ranked) - 1)).round().long()]


def _lookup(values: Tensor, given: Tensor, wanted: Tensor) -> Tensor:
    """Values [...] by the piecewise linear map from quantiles [K] to quantiles [K]."""
    upper = torch.searchsorted(given, values.contiguous()).clamp(1, len(given) - 1)
    low, high = given[upper - 1], given[upper]
    share = ((values - low) / (high - low).clamp(min=_TINY)).clamp(0, 1)
    return torch.lerp(wanted[upper - 1], wanted[upper], share)
