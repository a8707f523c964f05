"""Whether the 3 T teacher denoises better than linear filters do, on 3 T slices it was not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from trainers.data.sampling import Slices
from trainers.data.store import Cohort
from trainers.losses import dmd
from trainers.networks.denoiser import Denoiser, schedule
from trainers.networks.patch_filter import PatchFilter, wiener_gain
from trainers.references.config import ReferenceConfig

TIMES = (20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900)
FITTED, TESTED = 1024, 128
"""Training crops that the filters are fitted to, and held-out ones that all denoise."""
SEED = 1
CHUNK = 16

Estimate = Callable[[Tensor, int], Tensor]
"""Clean images [B, 3, H, W] of noisy ones at a timestep."""


@dataclass(frozen=True)
class Denoising:
    """Mean squared errors of the clean image, in [-1, 1], at one timestep."""

    t: int
    teacher: float
    fourier: float
    patches: float
    uncertainty: float
    """Standard error, over crops, of the teacher's difference from the better filter."""

    @property
    def ratio(self) -> float:
        """The teacher's error over that of the better filter."""
        return self.teacher / min(self.fourier, self.patches)

    @property
    def loses(self) -> bool:
        """Whether a filter is better by more than two standard errors: at t = 900 all come near the mean."""
        return self.teacher - min(self.fourier, self.patches) > 2 * self.uncertainty

    def __str__(self) -> str:
        figures = f"Fourier-Wiener filter {self.fourier:.4g}, 8x8 patches {self.patches:.4g}"
        return f"t = {self.t}: teacher {self.teacher:.4g}, {figures}"


@torch.no_grad()
def check(teacher: Denoiser, cohort: Cohort, config: ReferenceConfig) -> list[dict[str, Any]]:
    """The errors at each of ``TIMES``; empty where no validation subject was scanned at 3 T."""
    held_out = cohort.split("val")
    if not len(held_out.mask("3T")):
        return []
    train = _crops(Slices.of(cohort, config.channels, config.crop), FITTED)
    test = _crops(Slices(held_out, config.channels, config.crop), TESTED)
    device = next(teacher.parameters()).device
    return [asdict(each) for each in compare(teacher, train.to(device), test.to(device))]


@torch.no_grad()
def compare(teacher: Denoiser, train: Tensor, test: Tensor) -> list[Denoising]:
    """The errors on ``test`` [N, 3, h, w] of the teacher and of filters fitted to ``train`` [M, 3, h, w]."""
    alpha, sigma = schedule(test.device)
    noise = torch.randn(test.shape, generator=torch.Generator().manual_seed(SEED)).to(test)
    patches, fourier = PatchFilter(test.shape[1]).to(test.device), FourierFilter(train)
    patches.fit(train)

    def denoised(noisy: Tensor, t: int) -> Tensor:
        v: Tensor = teacher(noisy, torch.full((len(noisy),), t, device=noisy.device))
        return alpha[t] * noisy - sigma[t] * v

    estimates: Mapping[str, Estimate] = {
        "teacher": denoised,
        "fourier": lambda noisy, t: fourier(noisy, alpha[t], sigma[t]),
        "patches": lambda noisy, t: patches(noisy, alpha[t], sigma[t]),
    }
    found = []
    for t in TIMES:
        noisy = dmd.diffuse(test, noise, alpha[t], sigma[t])
        errors = {name: _errors(estimate, noisy, test, t) for name, estimate in estimates.items()}
        means = {name: float(each.mean()) for name, each in errors.items()}
        differences = errors["teacher"] - errors[min(("fourier", "patches"), key=means.__getitem__)]
        found.append(Denoising(t, **means, uncertainty=float(differences.std()) / len(test) ** 0.5))
    return found


class FourierFilter:
    """The Wiener filter of whole crops, all channels jointly: mean image, cross-spectra of frequencies."""

    def __init__(self, images: Tensor) -> None:
        self.mean = images.mean(0)
        spectra = torch.fft.rfft2(images - self.mean, norm="ortho")
        cross = torch.einsum("nchw, ndhw -> hwcd", spectra, spectra.conj()) / len(images)
        self.power, self.vectors = torch.linalg.eigh(cross)

    def __call__(self, noisy: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """The estimate [B, C, H, W] of x from alpha x + sigma eps."""
        spectrum = torch.fft.rfft2(noisy - alpha * self.mean, norm="ortho")
        gains = wiener_gain(self.power.clamp_min(0), alpha, sigma).to(spectrum.dtype)
        gain = self.vectors * gains[..., None, :] @ self.vectors.mH
        clean = torch.einsum("hwcd, ndhw -> nchw", gain, spectrum)
        deviation: Tensor = torch.fft.irfft2(clean, s=noisy.shape[-2:], norm="ortho")
        return self.mean + deviation


def worst(figures: list[dict[str, Any]]) -> Denoising | None:
    """Where the teacher loses most, else where it wins least; None where it was not checked."""
    found = [Denoising(**each) for each in figures]
    return max(found, key=lambda each: (each.loses, each.ratio), default=None)


def _errors(estimate: Estimate, noisy: Tensor, clean: Tensor, t: int) -> Tensor:
    """Of each image [N], float64."""
    pairs = zip(torch.split(noisy, CHUNK), torch.split(clean, CHUNK), strict=True)
    return torch.cat([(estimate(x, t) - y).double().square().mean((1, 2, 3)) for x, y in pairs])


def _crops(slices: Slices, count: int) -> Tensor:
    return torch.cat(list(islice(slices.target_crops(CHUNK, SEED), count // CHUNK)))
