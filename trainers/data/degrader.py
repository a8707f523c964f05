"""Simulated 64 mT slices, made from 3 T ones: restoring the 3 T slice then needs no pairs.

Shapes: C contrasts (T1, T2), H rows, W columns. Intensities are in [0, 1] unless said otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from trainers.data.arrays import Array
from trainers.data.grid import BACKGROUND
from trainers.data.planes import Planes

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, BLUR, NOISE = 0.2, 0.25, 0.3
"""By how much a slice's thickness, blur and noise differ from the estimate: uniform relative deviations."""
GAIN, OFFSET, FIELD = 0.06, 0.03, 0.1
"""Standard deviations of a slice's gain, offset and receive field (of the terms of its logarithm)."""


@dataclass(frozen=True)
class Degradation:
    """What makes a 64 mT slice of a 3 T one, estimated from unpaired training slices of both fields."""

    width: float
    """Full width at half maximum of the slice profile, in 3 T planes; 0: no thicker than the 3 T slice."""
    blur: Array
    """Standard deviations [C] of the in-plane Gaussian, pixels."""
    noise: Array
    """Standard deviations [C] of the noise."""
    grain: Array
    """Standard deviations [C] of the Gaussian that correlates the noise, pixels."""
    map: Array
    """[4, C]: the intensities that 3 T T1, 3 T T2, the brain's share of a voxel and a constant add."""

    def tensors(self) -> "dict[str, Tensor]":
        """Its numbers, to be saved."""
        import torch

        return {name: torch.from_numpy(np.array(value, np.float64)) for name, value in vars(self).items()}

    @classmethod
    def of(cls, tensors: "Mapping[str, Tensor]") -> "Degradation":
        """What :meth:`tensors` saved."""
        arrays = {name: value.numpy() for name, value in tensors.items()}
        return cls(float(arrays.pop("width")), **arrays)


@dataclass(frozen=True)
class Degrader:
    """Degrades 3 T training slices, each with its own deviations from the estimate."""

    planes: Planes
    degradation: Degradation

    def degrade(self, row: int, rng: np.random.Generator) -> Array:
        """The 3 T training slice ``row``, that below and that above as at 64 mT: [3, C, H, W] in [-1, 1].

        Their noise alone differs; -1 outside the brain.
        """
        return self.degrade_together([row, *self.planes.around(row)], rng)

    def degrade_together(self, rows: Sequence[int], rng: np.random.Generator) -> Array:
        """Slices [N, C, H, W] of one subject as of one 64 mT scan."""
        d = self.degradation
        width, blur, noise = (1 + size * rng.uniform(-1, 1) for size in (WIDTH, BLUR, NOISE))
        gain = 1 + GAIN * rng.standard_normal(len(d.blur))
        offset = OFFSET * rng.standard_normal(len(d.blur))
        shape = (len(d.blur), *self.planes.volumes[0][0].shape[1:])
        gain = receive_field(rng, shape) * gain[:, None, None]
        found = []
        for row in rows:
            thick = self.planes.thick(row, width * d.width)
            images = gain * blurred(mapped(thick, d.map), blur * d.blur) + offset[:, None, None]
            images = images + noise * grainy(rng, shape, d.noise, d.grain)
            brain = gaussian_filter(thick[2], blur * d.blur.mean()) > 0.5
            found.append(np.where(brain, 2 * images.clip(0, 1) - 1, BACKGROUND))
        return np.stack(found).astype(np.float32)


def receive_field(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Smooth gains [C, H, W]: of each contrast the exponential of a random polynomial of second degree."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[1:]), indexing="ij")
    terms = np.stack((x, y, x * y, x**2 - 1 / 3, y**2 - 1 / 3))
    return np.asarray(np.exp(FIELD * np.tensordot(rng.standard_normal((shape[0], 5)), terms, 1)))


def mapped(thick: Array, map_: Array) -> Array:
    """Intensities [C, H, W] at 64 mT of ``thick`` [3, H, W]: T1 and T2 at 3 T and the brain's share.

    Affine, as tissues mix linearly at both fields: three tissues in two contrasts fix it. What a voxel holds
    outside the brain has the constant's intensity.
    """
    return np.asarray(np.tensordot(map_[:3].T, thick, 1) + map_[3][:, None, None])


def blurred(images: Array, deviations: Array) -> Array:
    """Each contrast of [C, H, W] blurred by its own Gaussian; the edge goes on as it ends."""
    return np.stack(
        [gaussian_filter(image, s, mode="nearest") for image, s in zip(images, deviations, strict=True)]
    )


def grainy(rng: np.random.Generator, shape: tuple[int, ...], deviations: Array, grain: Array) -> Array:
    """Gaussian noise [C, H, W] of these ``deviations``, correlated by a Gaussian of ``grain`` pixels."""
    noise = blurred(rng.standard_normal(shape), grain)
    return np.asarray(noise / noise.std((1, 2), keepdims=True) * deviations[:, None, None])
