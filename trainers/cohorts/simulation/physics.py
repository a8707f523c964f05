"""The physics of an image: relaxation, signal, point spread, bias and noise (DATA.md section A3).

Times are in ms, lengths in mm; volumes are arrays ``[X, Y, Z]``.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np

from trainers.cohorts.simulation.smooth_fields import smooth_field
from trainers.data.arrays import Array, apply_along, separable
from trainers.data.planes import FWHM

Field = Literal["64mT", "3T"]
Contrast = Literal["T1", "T2"]
FIELDS: tuple[Field, ...] = ("64mT", "3T")
CONTRASTS: tuple[Contrast, ...] = ("T1", "T2")


@dataclass(frozen=True)
class Relaxation:
    """Proton density ``pd`` (relative), ``t1`` and ``t2`` (ms) of a tissue at one field."""

    pd: float
    t1: float
    t2: float


@dataclass(frozen=True)
class Sequence:
    """Repetition time ``tr``, echo time ``te`` and, if prepared by inversion, ``ti`` (ms)."""

    tr: float
    te: float
    ti: float | None = None


@dataclass(frozen=True)
class Scanner:
    """Properties of a field strength besides the contrast."""

    bias: float
    """Standard deviation of the logarithm of the receive field."""
    white_matter_snr: MappingProxyType[Contrast, float]
    """Signal of white matter over the noise of one channel, before denoising."""


TISSUES = ("WM", "GM", "deep GM", "CSF", "lesion")
# DATA.md A3; the lesion row is ours: water and both times prolonged, as in a chronic white-matter plaque.
RELAXATION: MappingProxyType[Field, tuple[Relaxation, ...]] = MappingProxyType(
    {
        "64mT": (
            Relaxation(0.77, 275, 95),
            Relaxation(0.86, 360, 107),
            Relaxation(0.82, 320, 100),
            Relaxation(1.00, 3700, 1500),
            Relaxation(0.88, 480, 165),
        ),
        "3T": (
            Relaxation(0.77, 850, 80),
            Relaxation(0.86, 1330, 100),
            Relaxation(0.82, 1150, 85),
            Relaxation(1.00, 4160, 1500),
            Relaxation(0.88, 1500, 150),
        ),
    }
)
SEQUENCES: MappingProxyType[tuple[Field, Contrast], Sequence] = MappingProxyType(
    {
        ("64mT", "T1"): Sequence(tr=880, te=5.03, ti=340),
        ("64mT", "T2"): Sequence(tr=2000, te=194.8),
        ("3T", "T1"): Sequence(tr=2300, te=4.6, ti=1100),
        ("3T", "T2"): Sequence(tr=5725.8, te=100),
    }
)
SCANNERS: MappingProxyType[Field, Scanner] = MappingProxyType(
    {
        "64mT": Scanner(0.15, MappingProxyType({"T1": 14.0, "T2": 18.0})),
        "3T": Scanner(0.08, MappingProxyType({"T1": 60.0, "T2": 60.0})),
    }
)


def signal(tissue: Relaxation, sequence: Sequence) -> float:
    """Magnitude of a tissue's signal: spin echo, or inversion recovery where ``ti`` is set (DATA.md A3)."""
    inversion = 0.0 if sequence.ti is None else 2 * np.exp(-sequence.ti / tissue.t1)
    sign = -1 if sequence.ti is None else 1  # after an inversion the last recovery has the opposite sign
    weight = abs(1 - inversion + sign * np.exp(-sequence.tr / tissue.t1))
    return float(tissue.pd * weight * np.exp(-sequence.te / tissue.t2))


def bias_field(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: float | Array, deviation: float
) -> Array:
    """A smooth positive gain over ``shape``; smooth as ``sigma`` voxels, of an axis or of all; ``deviation``
    of its logarithm.
    """
    return np.exp(deviation * smooth_field(rng, shape, sigma)).astype(np.float32)


def rician(image: Array, rng: np.random.Generator, sigma: float) -> Array:
    """Magnitude of the image plus complex Gaussian noise of ``sigma`` a channel (Gudbjartsson 1995)."""
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), np.float32)


def kspace_gain(frequency: Array, cutoff: float, apodisation: float) -> Array:
    """Gain of the k-space crop: zero above ``cutoff``, a raised cosine falling by ``apodisation`` below."""
    window = 1 - apodisation * np.sin(np.pi * frequency / (2 * cutoff)) ** 2
    return np.where(np.abs(frequency) <= cutoff, window, 0.0)


@lru_cache(maxsize=8)
def kspace_crop(
    n: int, spacing: float, n_out: int, spacing_out: float, shift: float = 0.0, apodisation: float = 0.3
) -> Array:
    """Matrix ``[n_out, n]`` of a k-space crop to ``spacing_out``; ``shift`` (mm) between centres; cached."""
    frequency = np.fft.fftfreq(n, spacing)
    gain = kspace_gain(frequency, 0.5 / spacing_out, apodisation)
    lag = np.subtract.outer(centres(n_out, spacing_out) + shift, centres(n, spacing))
    return np.asarray((np.cos(2 * np.pi * lag[..., None] * frequency) @ gain) / n)


def slab_profile(positions: Array, positions_out: Array, spacing: float, thickness: float) -> Array:
    """Matrix ``[n_out, n]`` of a Gaussian slice profile whose full width at half maximum is ``thickness``."""
    sigma = thickness / FWHM
    offset = np.subtract.outer(positions_out, positions)
    return np.asarray(spacing / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (offset / sigma) ** 2))


def denoise_in_plane(volume: Array, sigma: float = 0.5) -> Array:
    """The scanner's own mild denoising: an in-plane Gaussian of ``sigma`` pixels."""
    for axis in (0, 1):
        index = np.arange(volume.shape[axis])
        kernel = np.exp(-0.5 * (np.subtract.outer(index, index) / sigma) ** 2)
        volume = apply_along(volume, kernel / kernel.sum(1, keepdims=True), axis)
    return volume


def point_spread(volume: Array, in_plane: tuple[Array, Array], through_plane: Array) -> Array:
    """``[X, Y, Z] -> [X', Y', Z']``: the slice profile first, then the crop of k-space."""
    return separable(volume, (*in_plane, through_plane))


def centres(n: int, spacing: float) -> Array:
    """Positions (mm) of ``n`` samples about their common centre."""
    return (np.arange(n) - (n - 1) / 2) * spacing
