"""Scans of a subject of the second anatomy, with the errors of its site's scanner."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainers.cohorts.simulation import physics
from trainers.cohorts.simulation.artefacts import Pose, draw_pose, draw_shift, ghost, move_in_plane
from trainers.cohorts.simulation.imaging import BIAS_SIGMA, Geometry, Volume
from trainers.cohorts.simulation.lesion_tissues import KINDS
from trainers.cohorts.simulation.person import Person
from trainers.cohorts.simulation.physics import CONTRASTS, Contrast, Field
from trainers.cohorts.simulation.site import Quality, Site, draw
from trainers.data.arrays import Array, apply_along

Generators = Mapping[Contrast, np.random.Generator]


def scan(
    person: Person, geometry: Geometry, at: Field, site: Site, generators: Generators
) -> dict[Contrast, Volume]:
    """Both contrasts: 3 T on the anatomy's grid, 64 mT in its own thick slices.

    The mask is the true brain on the scan's grid; motion and distortion move the image, not the mask.
    """
    acquire = _acquire_thick if at == "64mT" else _acquire_thin
    shape = person.mask.shape
    if at == "64mT":
        mask = geometry.blur(person.mask.astype(np.float32)) > 0.5
        planes, affine, spacing = np.arange(geometry.shape[2]), geometry.affine(shape), geometry.spacing[0]
    else:
        mask, planes, affine = person.mask, geometry.planes(shape[2]), person.affine
        spacing = float(affine[0, 0])
    return {
        c: Volume(acquire(person, geometry, site, c, generators[c]) * mask, mask, affine, spacing, planes)
        for c in CONTRASTS
    }


def contrast_image(person: Person, signals: Array) -> Array:
    """Noise-free image ``[X, Y, Z]``: fractions mix the tissues' signals; lesions replace what they fill."""
    image = np.zeros(person.mask.shape, np.float32)
    count = len(person.fractions)
    for fraction, signal in zip(person.fractions, signals[:count], strict=True):
        image += signal * fraction
    healthy = image.copy()
    for lesion in person.lesions:
        signal = signals[count + KINDS.index(lesion.kind)]
        image[lesion.box] += lesion.weight * (signal - healthy[lesion.box])
    return image * person.texture


def _acquire_thin(
    person: Person, geometry: Geometry, site: Site, contrast: Contrast, rng: np.random.Generator
) -> Array:
    quality = site.quality("3T")
    signals = tissue_signals(person, site, "3T", contrast)
    image = contrast_image(person, signals)
    image *= _bias(rng, image.shape, person.spacing, "3T", quality)
    noisy = physics.rician(image, rng, _sigma(float(signals[0]), "3T", contrast, rng, quality))
    return ghost(noisy, draw(rng, quality.ghost))


def _acquire_thick(
    person: Person, geometry: Geometry, site: Site, contrast: Contrast, rng: np.random.Generator
) -> Array:
    signals = tissue_signals(person, site, "64mT", contrast)
    image, drawn = contrast_image(person, signals), draw_conditions(person, geometry, site, contrast, rng)
    white = float(signals[0])
    return thick_slices(image, geometry, drawn.pose, drawn.gain, white, contrast, site, rng)


@dataclass(frozen=True)
class Conditions:
    """Of a 64 mT scan: where its subject was, and the receive field ``[X, Y, N]`` at its slices."""

    pose: Pose
    gain: Array


def draw_conditions(
    person: Person, geometry: Geometry, site: Site, contrast: Contrast, rng: np.random.Generator
) -> Conditions:
    """The conditions of an axial scan, the first that its stream gives."""
    quality = site.quality("64mT")
    moved = draw_shift(rng, quality)
    pose = draw_pose(rng, quality, geometry.shape[2], moved if contrast == "T2" else np.zeros(3))
    # The receive field is smooth: it may come after the slice profile.
    spacing = np.array([*person.spacing[:2], geometry.spacing[2]])
    shape = (*person.mask.shape[:2], geometry.shape[2])
    return Conditions(pose, _bias(rng, shape, spacing, "64mT", quality))


def thick_slices(
    image: Array,
    geometry: Geometry,
    pose: Pose,
    gain: Array,
    white: float,
    contrast: Contrast,
    site: Site,
    rng: np.random.Generator,
) -> Array:
    """A 64 mT scan ``[X', Y', N]`` of an ``image`` of an anatomy; ``white``: the signal of white matter."""
    quality = site.quality("64mT")
    slices = geometry.crop(in_slices(image, geometry, pose) * gain)
    noisy = physics.rician(slices, rng, _sigma(white, "64mT", contrast, rng, quality))
    return ghost(physics.denoise_in_plane(noisy), draw(rng, quality.ghost))


def in_slices(image: Array, geometry: Geometry, pose: Pose) -> Array:
    """Slices ``[X, Y, N]`` of an anatomy ``[X, Y, Z]`` that was in a ``pose``, by the slab profile."""
    slab = geometry.slab(image.shape[2], pose.shift[:, 2])
    return move_in_plane(apply_along(image, slab, 2), np.diag(geometry.anatomy_affine)[:2], pose)


def tissue_signals(person: Person, site: Site, at: Field, contrast: Contrast) -> Array:
    """Signals of a subject's tissues, then of the lesions' kinds, by a site's protocol."""
    sequence = site.protocol[at, contrast]
    return np.array([physics.signal(t, sequence) for t in person.relaxation[at]], np.float32)


def _bias(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: Array, at: Field, quality: Quality
) -> Array:
    """Gain ``[X, Y, Z]``, smooth in mm along each axis."""
    deviation = physics.SCANNERS[at].bias * draw(rng, quality.bias)
    return physics.bias_field(rng, shape, BIAS_SIGMA / spacing, deviation)


def _sigma(white: float, at: Field, contrast: Contrast, rng: np.random.Generator, quality: Quality) -> float:
    """Deviation of the noise of one channel."""
    return white / physics.SCANNERS[at].white_matter_snr[contrast] * draw(rng, quality.noise)
