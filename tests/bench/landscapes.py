"""Noise-free objectives with known fronts: ZDT, DTLZ, WFG, and a proxy of a translator's search.

Reference points. ZDT, DTLZ7: 1.1 in the objectives in which random points have the front's range, in the
others a value that about half of the random points are below, since all of them are beyond 1.1. DTLZ1: 400
(BoTorch). DTLZ2, DTLZ4: 1.1 (BoTorch, pymoo). WFG: (3, 5, 7), the nadir (2, 4, 6) plus one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from platform.pareto.dominance import hypervolume, nondominated
from platform.study.dimensions import Choice, Dimension, Int, Log, Uniform
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.problems import get_problem  # type: ignore[import-untyped]

from tests.bench.cube import cube_of

Array = NDArray[np.float64]


class Landscape(ABC):
    """Objectives [k, m], minimised, of every point; its true front is sampled on a grid."""

    name: str
    family: str
    search: tuple[Dimension, ...]
    reference: tuple[float, ...]

    @abstractmethod
    def true(self, params: Mapping[str, Any]) -> Array:
        """Objectives [k, m] of a point's k candidates."""

    @abstractmethod
    def front(self, side: int) -> Array:
        """Points [n, m] among which the true front's are, from a grid of ``side`` points an axis."""

    @cached_property
    def extent(self) -> tuple[Array, Array]:
        """Ideal and nadir [m] of the true front."""
        points = self.front(40 if len(self.reference) > 2 else 2000)
        points = points[nondominated(points)]
        return points.min(0), points.max(0)

    @cached_property
    def front_volume(self) -> float:
        """Hypervolume of the true front at the reference.

        A grid of spacing h lacks a volume proportional to h, so that two grids give the limit.
        """
        side = 160 if len(self.reference) > 2 else 20_000
        coarse, fine = (hypervolume(self.front(n + 1), self.reference) for n in (side, 2 * side))
        return 2 * fine - coarse


class Pymoo(Landscape):
    """A problem of pymoo, by its name there; ``surface`` maps a grid on [0, 1] to its front."""

    def __init__(
        self, name: str, reference: tuple[float, ...], surface: Callable[..., Array], **options: Any
    ) -> None:
        self._problem = get_problem(name, **options)
        self._surface = surface
        self.name, self.family, self.reference = name, name[:-1], reference
        ends = zip(self._problem.xl.tolist(), self._problem.xu.tolist(), strict=True)
        self.search = tuple(Uniform(f"x{i}", low, high) for i, (low, high) in enumerate(ends))

    def true(self, params: Mapping[str, Any]) -> Array:
        """Objectives [1, m]."""
        row = np.array([[params[d.name] for d in self.search]], dtype=np.float64)
        return np.asarray(self._problem.evaluate(row, return_values_of=["F"]), dtype=np.float64)

    def front(self, side: int) -> Array:
        """The surface on a grid."""
        axes = np.meshgrid(*[np.linspace(0, 1, side)] * (len(self.reference) - 1))
        return np.stack(self._surface(*(axis.reshape(-1) for axis in axes)), axis=1)


def _zdt1(t: Array) -> tuple[Array, ...]:
    return t, 1 - np.sqrt(t)


def _zdt2(t: Array) -> tuple[Array, ...]:
    return t, 1 - t**2


def _zdt3(t: Array) -> tuple[Array, ...]:
    return t, 1 - np.sqrt(t) - t * np.sin(10 * np.pi * t)


def _zdt6(t: Array) -> tuple[Array, ...]:
    low = 0.2807753191  # the least 1 - exp(-4 x) sin(6 pi x)^6
    x = low + (1 - low) * t
    return x, 1 - x**2


def _plane(s: Array, t: Array) -> tuple[Array, ...]:
    return s * t / 2, s * (1 - t) / 2, (1 - s) / 2


def _sphere(s: Array, t: Array) -> tuple[Array, ...]:
    s, t = s * np.pi / 2, t * np.pi / 2
    return np.sin(s) * np.cos(t), np.sin(s) * np.sin(t), np.cos(s)


def _dtlz7(s: Array, t: Array) -> tuple[Array, ...]:
    return s, t, 6 - s * (1 + np.sin(3 * np.pi * s)) - t * (1 + np.sin(3 * np.pi * t))


def _wfg1(s: Array, t: Array) -> tuple[Array, ...]:
    """Convex in the first objectives, a cosine with five waves in the last (Huband et al. 2006).

    It cannot be reached in floating point: the distance's rounding error to the power 0.02 is about 0.17.
    """
    across, along = 1 - np.cos(s * np.pi / 2), t * np.pi / 2
    last = 1 - s - np.cos(10 * np.pi * s + np.pi / 2) / (10 * np.pi)
    return 2 * across * (1 - np.cos(along)), 4 * across * (1 - np.sin(along)), 6 * last


def _ellipsoid(s: Array, t: Array) -> tuple[Array, ...]:
    return tuple(radius * axis for radius, axis in zip((2, 4, 6), _sphere(s, t), strict=True))


class Translator(Landscape):
    """FID, 1 - MS-SSIM and -PSNR of an unpaired translator's training (HPO.md section 6.1's proxy).

    The weights of realism against fidelity set ``a`` in [0, 1], the structure loss ``b``; each refinement
    step increases realism further. Wrong settings cost in all three objectives: learning rate and bridge
    noise, whose best values depend on the weights, unbalanced realism losses, a wrong norm, more refinement
    steps than needed. Each count up to the searched one is a candidate.
    """

    name, family = "hpo", "hpo"
    reference = (2.2, 0.2, -18.0)
    search = (
        Log("lambda_gan", 0.25, 4.0),
        Log("lambda_sb", 0.1, 100.0),
        Log("lambda_nce", 0.5, 4.0),
        Log("lambda_dmd", 0.05, 2.0),
        Log("lr", 1e-5, 1e-3),
        Uniform("tau", 0.03, 0.2),
        Int("refinement_steps", 1, 5),
        Choice("norm", ("none", "group", "instance")),
    )

    def true(self, params: Mapping[str, Any]) -> Array:
        """Objectives [refinement_steps, 3]."""
        u = dict(zip([d.name for d in self.search], cube_of(self.search, params), strict=True))
        gan, sb, dmd = u["lambda_gan"], u["lambda_sb"], u["lambda_dmd"]
        a, b = 0.35 * gan + 0.35 * dmd + 0.3 * (1 - sb), u["lambda_nce"]
        wrong_norm, shift = {"none": (0.0, 0.0), "group": (0.04, 0.0), "instance": (0.1, 0.25)}[
            params["norm"]
        ]
        steps = int(params["refinement_steps"])
        mistuned = 0.5 * (gan - dmd) ** 2 + 2.0 * (u["lr"] - (0.3 + 0.3 * a + shift)) ** 2
        mistuned += 0.8 * (u["tau"] - (0.25 + 0.5 * b)) ** 2 + wrong_norm
        return _translated(a, b, np.arange(1, steps + 1), mistuned + _TRAINED * (steps - 1))

    def front(self, side: int) -> Array:
        """Everything tuned, no step more than needed: over a, b and the count."""
        a, b, count = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), np.arange(1, 6))
        return _translated(*(axis.reshape(-1) for axis in (a, b, count)), _TRAINED * (count.reshape(-1) - 1))


_TRAINED = 0.004
"""Cost of training for one more refinement step."""


def _translated(a: Any, b: Any, count: Array, mistuned: Any) -> Array:
    reached = a * (0.7 + 0.075 * (count - 1))
    harm = 1 - np.exp(-3 * mistuned)
    fid = 0.1 + 1.7 * (1 - reached) ** 2 + 1.5 * harm
    dssim = 0.07 + 0.09 * reached**1.5 * (1 - 0.4 * b) + 0.08 * harm
    psnr = 24 - 3 * reached**1.3 - 1.5 * b - 4 * harm
    return np.stack([fid, dssim, -psnr], axis=1)


def landscapes() -> tuple[Landscape, ...]:
    """All of them."""
    dtlz, wfg = {"n_var": 8, "n_obj": 3}, {"n_var": 8, "n_obj": 3, "k": 4, "l": 4}
    return (
        Pymoo("zdt1", (1.1, 4.0), _zdt1, n_var=10),
        Pymoo("zdt2", (1.1, 5.5), _zdt2, n_var=10),
        Pymoo("zdt3", (1.1, 4.0), _zdt3, n_var=10),
        Pymoo("zdt6", (1.1, 9.0), _zdt6, n_var=10),
        Pymoo("dtlz1", (400.0,) * 3, _plane, **dtlz),
        Pymoo("dtlz2", (1.1,) * 3, _sphere, **dtlz),
        Pymoo("dtlz4", (1.1,) * 3, _sphere, **dtlz),
        Pymoo("dtlz7", (1.1, 1.1, 18.0), _dtlz7, **dtlz),
        Pymoo("wfg1", (3.0, 5.0, 7.0), _wfg1, **wfg),
        Pymoo("wfg4", (3.0, 5.0, 7.0), _ellipsoid, **wfg),
        Pymoo("wfg5", (3.0, 5.0, 7.0), _ellipsoid, **wfg),
        Pymoo("wfg9", (3.0, 5.0, 7.0), _ellipsoid, **wfg),
        Translator(),
    )
