"""What a picture of candidates shows, before any drawing library: points, axes, layers, the front's edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from platform.pareto.dominance import minimised, nondominated
from platform.pareto.front import Front
from platform.study.settings import Objective

import numpy as np
from numpy.typing import NDArray

from trainers.metrics.extended import MEASURES

INK, QUIET, GRID = "#1f2933", "#9aa5b1", "#e6e9ed"
FRONT, KNEE, INPUT = "#1f5fa8", "#d9822b", "#7b2d43"
UNTOUCHED = "untouched input"

_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "rad_fid": "Rad-FID",
    "piqe": "PIQE",
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
    "psnr_t1": "PSNR T1 (dB)",
    "psnr_t2": "PSNR T2 (dB)",
    "ms_ssim_t1": "MS-SSIM T1",
    "ms_ssim_t2": "MS-SSIM T2",
    "seconds_per_volume": "seconds per volume",
    **{name: measure.label for name, measure in MEASURES.items()},
}


@dataclass(frozen=True)
class PlottedCandidate:
    """A candidate: a trial's translator at a number of refinement steps, with its objective values."""

    trial: int
    steps: int
    values: Mapping[str, float]
    params: Mapping[str, object]
    on_front: bool
    knee: bool

    def __str__(self) -> str:
        return f"trial {self.trial}, {self.steps} step{'s' if self.steps > 1 else ''}"


def plotted(front: Front) -> list[PlottedCandidate]:
    """The candidates of a front as pictures and tables show them."""
    members, knee = {c.key for c in front.members}, front.knee.key if front.knee else None
    return [
        PlottedCandidate(*c.key, c.values, c.params, c.key in members, c.key == knee)
        for c in front.candidates
    ]


@dataclass(frozen=True)
class Axis:
    """One objective over all points: ``values`` [n], and the untouched input's value if it has one."""

    label: str
    direction: str
    values: NDArray[np.float64]
    untouched: float | None


@dataclass(frozen=True)
class Panel:
    """Two axes and the ``edge`` [k, 2] of what the front attains between them."""

    x: Axis
    y: Axis
    edge: NDArray[np.float64]

    @property
    def untouched(self) -> tuple[float, float] | None:
        """Where the untouched input lies, if it has both values."""
        x, y = self.x.untouched, self.y.untouched
        return None if x is None or y is None else (x, y)


@dataclass(frozen=True)
class Layer:
    """Points drawn alike, by their index; ``kind`` is "candidates", "front" or "knee"."""

    kind: str
    label: str
    members: list[int]


def panels(
    points: Sequence[PlottedCandidate], objectives: Sequence[Objective], baseline: Mapping[str, float]
) -> list[Panel]:
    """Every pair of objectives; a single objective over the trials."""
    axes = [_axis(objective, points, baseline) for objective in objectives]
    if len(axes) == 1:
        axes.insert(0, Axis("trial", "minimize", np.array([p.trial for p in points], float), None))
    front = np.array([p.on_front for p in points], bool)
    return [
        Panel(x, y, staircase(x.values[front], y.values[front], (x.direction, y.direction)))
        for x, y in combinations(axes, 2)
    ]


def layers(points: Sequence[PlottedCandidate]) -> list[Layer]:
    """The points from the back to the front of a picture: each is in one layer, empty layers are left out."""
    kinds = ["knee" if p.knee else "front" if p.on_front else "candidates" for p in points]
    knees = "; ".join(str(p) for p in points if p.knee)
    labels = {"candidates": "candidates", "front": "Pareto front", "knee": f"knee: {knees}"}
    members = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in labels}
    return [Layer(kind, label, members[kind]) for kind, label in labels.items() if members[kind]]


def staircase(
    x: NDArray[np.float64], y: NDArray[np.float64], directions: tuple[str, str]
) -> NDArray[np.float64]:
    """Corners [k, 2] of the edge of the region that the points [n] dominate in two objectives.

    Between two neighbours on the front only their common worse corner is attained, hence steps and no slope.
    """
    pairs = np.stack([x, y], axis=1)
    if not len(pairs):
        return pairs
    front = pairs[nondominated(minimised(pairs, directions))]
    front = front[np.argsort(minimised(front, directions)[:, 0], kind="stable")]
    corners = np.stack([front[1:, 0], front[:-1, 1]], axis=1)
    return np.insert(front, np.arange(1, len(front)), corners, axis=0)


def metric_label(name: str) -> str:
    """A metric's name as the field writes it."""
    return _NAMES.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:#.4g}"


def _axis(objective: Objective, points: Sequence[PlottedCandidate], baseline: Mapping[str, float]) -> Axis:
    better = {"minimize": "lower", "maximize": "higher"}[objective.direction]
    values = np.array([p.values[objective.name] for p in points], float)
    label = f"{metric_label(objective.name)}, {better} is better"
    return Axis(label, objective.direction, values, baseline.get(objective.name))
