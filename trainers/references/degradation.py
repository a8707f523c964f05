"""How 64 mT degrades 3 T, estimated from training slices of both fields, which show different people.

Shapes: C contrasts (T1, T2), N slices of a subject, H rows, W columns, K cells of the brain.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from trainers.data.arrays import Array
from trainers.data.degrader import Degradation, blurred, mapped
from trainers.data.planes import Planes
from trainers.data.store import CONTRASTS, Cohort, Split
from trainers.errors import InputError

CELLS = (8, 12, 8)
"""Parts of the brain from bottom to top, front to back, and middle to side, within which means are compared.

The same place holds much the same tissue in everyone, while the shares of tissues in the whole brain, and so
its histogram, differ between the people of two sites.
"""
RIDGE = 3e-4
"""Of what one contrast adds to the other: at 3 T tissues are nearly on a line in (T1, T2), along which the
means leave a map open."""
WINDOW = 24
"""Side (pixels) of the squares inside the brain whose spectra are compared."""
FREQUENCIES = (0.08, 0.5)
"""Least and greatest that are compared, cycles a pixel: below, brains differ; above, a square has corners."""

ROUNDS = 3
"""Map without blur, blur and noise, and the map again with them."""

Subject = tuple[Array, Array]
"""Images [C or more, N, H, W] with intensities in [0, 1], and the brain mask [N, H, W]."""


def estimate(cohort: Cohort, progress: Callable[[int], None]) -> Degradation:
    """The degradation of a cohort; ``progress`` is called with 1 to ``ROUNDS``.

    Raises InputError for brains in which no square of ``WINDOW`` pixels fits.
    """
    planes, train = Planes.of(cohort), cohort.split("train")
    map_ = fit_map(high_field(planes), low_field(train))
    progress(1)
    pairs = zip(spectra(_mapped(high_field(planes), map_)), spectra(low_field(train)), strict=True)
    blur, noise, grain = np.array([fit_blur(*pair) for pair in pairs]).T
    progress(2)
    smooth = ((_smoothed(images, blur.mean()), brain) for images, brain in high_field(planes))
    map_ = fit_map(smooth, low_field(train))
    progress(3)
    return Degradation(planes.spacing, blur, noise, grain, map_)


def low_field(train: Split) -> Iterator[Subject]:
    """The 64 mT training subjects."""
    for s in train.subjects("64mT"):
        rows = slice(s.start, s.stop)
        images = np.stack([np.asarray(train.slices("64mT", c)[rows], np.float32) for c in CONTRASTS])
        yield (images + 1) / 2, train.mask("64mT")[rows] > 0


def high_field(planes: Planes) -> Iterator[Subject]:
    """The 3 T training subjects' slices as thick as those of 64 mT: T1, T2 and the brain's share."""
    for subject in range(len(planes.volumes)):
        rows = np.flatnonzero(planes.places[:, 0] == subject)
        images = np.stack([planes.thick(row, planes.spacing) for row in rows], 1)
        yield images, images[2] > 0.5


def fit_map(high: Iterable[Subject], low: Iterable[Subject]) -> Array:
    """The affine map [4, C] that takes the mean of each cell at 3 T to that at 64 mT, by least squares.

    Cells count as their pixels at the field that has fewer.
    """
    (counts, means), (low_counts, low_means) = cell_means(high), cell_means(low)
    weight = np.minimum(counts, low_counts)
    weight = weight / weight.sum()
    inputs = np.concatenate((means, np.ones((1, len(weight)))))
    gram, right = (inputs * weight) @ inputs.T, (inputs * weight) @ low_means.T
    found = []
    for contrast in range(len(CONTRASTS)):
        ridge = np.full(4, 1e-7)
        ridge[1 - contrast] = RIDGE
        found.append(np.linalg.solve(gram + np.diag(ridge), right[:, contrast]))
    return np.stack(found, 1)


def cell_means(subjects: Iterable[Subject]) -> tuple[Array, Array]:
    """Pixels [K] of each cell over all subjects, and means [C or more, K] of the images, 0 in empty cells."""
    size = int(np.prod(CELLS))
    counts: Array = np.zeros(size)
    sums: Array = np.zeros(())
    for images, brain in subjects:
        cell = cells(brain)[brain]
        counts = counts + np.bincount(cell, minlength=size)
        sums = sums + np.stack([np.bincount(cell, image[brain], size) for image in images])
    return counts, sums / np.maximum(counts, 1)


def cells(brain: Array) -> Array:
    """The cell of each pixel of a subject's slices [N, H, W], by its place in the box of the brain."""
    rows, columns = (np.flatnonzero(brain.any(axis)) for axis in ((0, 2), (0, 1)))
    middle, half = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0] + 1) / 2
    depth, height, width = brain.shape
    along = (
        (np.arange(depth) + 0.5) / depth,
        (np.arange(height) - rows[0] + 0.5) / (rows[-1] - rows[0] + 1),
        np.abs(np.arange(width) - middle) / half,
    )
    index = [np.clip((x * n).astype(int), 0, n - 1) for x, n in zip(along, CELLS, strict=True)]
    return np.asarray(np.ravel_multi_index(np.ix_(*index), CELLS))


def spectra(subjects: Iterable[Subject]) -> Array:
    """Mean power [C, WINDOW, WINDOW] of squares inside the brain, with a Hann window; a pixel's variance."""
    line = np.hanning(WINDOW + 2)[1:-1]
    window = np.outer(line, line) / np.sqrt((np.outer(line, line) ** 2).mean())
    total, count = np.zeros((len(CONTRASTS), WINDOW, WINDOW)), 0
    for images, brain in subjects:
        for image, inside in zip(np.moveaxis(images, 1, 0), brain, strict=True):
            squares = _squares(image)[:, _squares(inside[None]).all((0, 2, 3))]
            level = (squares * window).mean((2, 3), keepdims=True) / window.mean()
            power = np.abs(np.fft.fft2((squares - level) * window)) ** 2
            total, count = total + power.sum(1), count + power.shape[1]
    if not count:
        raise InputError(
            f"lambda_restore: needs brains in which {WINDOW} x {WINDOW} pixels fit; "
            "allowed on this cohort: fixed: {lambda_restore: 0}, and neither searched nor in start_from"
        )
    return np.asarray(total / count / WINDOW**2)


def fit_blur(sharp: Array, low: Array) -> tuple[float, float, float]:
    """Blur (pixels), deviation and grain (pixels) of the noise that turn one spectrum into the other.

    ``low`` = a ``sharp`` |H(blur)|^2 + noise^2 |H(grain)|^2 / its mean, by least squares of the logarithms. H
    is the response of a sampled Gaussian; a stands for textures that differ between the sites.
    """
    from scipy.optimize import least_squares

    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(WINDOW)] * 2))
    used = (f >= FREQUENCIES[0]) & (f <= FREQUENCIES[1])

    def error(p: Array) -> Array:
        shape = gaussian_power(p[3])
        model = p[0] * sharp * gaussian_power(p[1]) + p[2] ** 2 * shape / shape.mean()
        return np.asarray(np.log(model[used] / low[used]))

    limits = [0.3, 0.1, 1e-4, 0.1], [3.0, 5.0, 0.5, 3.0]
    _, blur, noise, grain = least_squares(error, [1.0, 0.7, 0.03, 0.5], bounds=limits).x
    return float(blur), float(noise), float(grain)


def gaussian_power(deviation: float) -> Array:
    """Power response [WINDOW, WINDOW] of a Gaussian sampled at whole pixels, of sum 1."""
    offsets = np.arange(-20, 21)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    along = np.cos(2 * np.pi * np.outer(np.fft.fftfreq(WINDOW), offsets)) @ weights / weights.sum()
    return np.outer(along, along) ** 2


def _squares(image: Array) -> Array:
    """Squares [C, n, WINDOW, WINDOW] of [C, H, W], a third of their side apart."""
    view: Array = np.lib.stride_tricks.sliding_window_view(image, (WINDOW, WINDOW), axis=(1, 2))  # type: ignore[call-overload]
    step = WINDOW // 3
    return view[:, ::step, ::step].reshape(len(image), -1, WINDOW, WINDOW)


def _mapped(subjects: Iterable[Subject], map_: Array) -> Iterator[Subject]:
    for images, _ in subjects:
        yield np.stack([mapped(each, map_) for each in np.moveaxis(images, 1, 0)], 1), images[2] > 0.99


def _smoothed(images: Array, deviation: float) -> Array:
    each = np.full(len(images), deviation)
    return np.stack([blurred(image, each) for image in np.moveaxis(images, 1, 0)], 1)
