"""Previews of a prepared visit for review: planes with the brain's outline, and intensity histograms."""

from collections.abc import Mapping

import numpy as np

from trainers.cohorts.preprocessing import slicing
from trainers.data.arrays import Array

HEIGHT = 180
"""Rows of a picture, in pixels."""
BINS = 48
_OUTLINE = np.array([255, 96, 64], np.uint8)


def preview(
    volumes: Mapping[str, Array], mask: Array, spacing: Array, slices: Mapping[str, Array]
) -> dict[str, Array]:
    """Pictures [H, W, 3] of uint8 ``picture <volume>`` and histograms [BINS] ``histogram <contrast>``.

    A picture shows the three middle planes of a RAS volume with the outline of ``mask``; a histogram counts
    the intensities of the working ``slices`` inside the brain, from -1 to 1, and sums to 1.
    """
    previews = {f"picture {name}": picture(values, mask, spacing) for name, values in volumes.items()}
    inside = slices["mask"] > 0
    for contrast in (name for name in slices if name != "mask"):
        counts, _ = np.histogram(slices[contrast][inside], BINS, (-1, 1))
        previews[f"histogram {contrast}"] = (counts / max(1, counts.sum())).astype(np.float32)
    return previews


def picture(values: Array, mask: Array, spacing: Array) -> Array:
    """Axial, coronal and sagittal plane through the middle of ``mask``, side by side, its outline in red."""
    middle = (
        [int(np.median(indices)) for indices in np.nonzero(mask)]
        if mask.any()
        else [n // 2 for n in mask.shape]
    )
    low, high = np.percentile(values[mask] if mask.any() else values, (0.5, 99.5))
    unit = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    panels = []
    for axis in (2, 1, 0):
        grey, inside = (np.take(volume, middle[axis], axis).T[::-1] for volume in (unit, mask))
        across, up = (spacing[i] for i in range(3) if i != axis)
        panels.append(_panel(grey, inside, float(up), float(across)))
    return np.concatenate(panels, axis=1)


def _panel(grey: Array, inside: Array, up: float, across: float) -> Array:
    """A plane at HEIGHT rows and square pixels, as RGB, with the outline of ``inside``."""
    from scipy.ndimage import binary_erosion

    rows, columns = grey.shape
    width = max(1, round(HEIGHT * columns * across / (rows * up)))
    pixel = (rows / HEIGHT, columns / width)
    fine, filled = (
        slicing.resample(plane[None].astype(np.float32), (1, 1), (HEIGHT, width), pixel)[0]
        for plane in (grey, inside)
    )
    rgb = np.repeat((np.clip(fine, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    brain = filled > 0.5
    rgb[brain & ~binary_erosion(brain)] = _OUTLINE
    return rgb
