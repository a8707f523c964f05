"""What a picture of candidates shows, for any drawing library: candidates, axes, layers, the front's edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from platform.pareto.dominance import minimised, nondominated
from platform.pareto.front import CandidateKey, Front
from platform.study.settings import Objective

import numpy as np
from numpy.typing import NDArray

from trainers.metrics.measures import MEASURES
from trainers.metrics.names import BASELINES

COLUMNS = 3
"""Panels side by side, at most."""
UNTOUCHED = BASELINES["input"]

_NAMES = {
    "fid": "FID",
    "fid_infinity": "FID, infinitely many subjects",
    "kid": "KID",
    "fid_spatial": "spatial FID",
    "patch_fd": "patch distance",
    **{f"patch_{block}": f"patch distance, {block}" for block in ("texture", "place", "symmetry")},
    "rad_fid": "Rad-FID",
    "piqe": "PIQE",
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
    "psnr_t1": "PSNR T1 (dB)",
    "psnr_t2": "PSNR T2 (dB)",
    "ms_ssim_t1": "MS-SSIM T1",
    "ms_ssim_t2": "MS-SSIM T2",
    **{
        f"{name}_slice{end}": f"{label} of whole slices{end.replace('_', ' ').upper()}"
        for end in ("", "_t1", "_t2")
        for name, label in (("psnr", "PSNR"), ("ms_ssim", "MS-SSIM"))
    },
    "seconds_per_volume": "seconds per volume",
    **{name: measure.label for name, measure in MEASURES.items()},
}


@dataclass(frozen=True)
class PlottedCandidate:
    """A candidate as pictures and tables show it."""

    trial: int
    steps: int
    values: Mapping[str, float]
    params: Mapping[str, object]
    on_front: bool
    knee: bool

    def __str__(self) -> str:
        return candidate_label((self.trial, self.steps))


def plotted(front: Front) -> list[PlottedCandidate]:
    """The candidates of a front."""
    members, knee = {c.key for c in front.members}, front.knee.key if front.knee else None
    return [
        PlottedCandidate(*c.key, c.values, c.params, c.key in members, c.key == knee)
        for c in front.candidates
    ]


@dataclass(frozen=True)
class Axis:
    """One objective: ``values`` [n] of all candidates, and the untouched input's value if it has one."""

    label: str
    direction: str
    values: NDArray[np.float64]
    untouched: float | None


@dataclass(frozen=True)
class Panel:
    """Two axes and the ``edge`` [k, 2] of the region that the front dominates."""

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
    """Candidates drawn alike, by their index; ``kind`` is "candidates", "front" or "knee"."""

    kind: str
    label: str
    members: list[int]


def panels(
    candidates: Sequence[PlottedCandidate], objectives: Sequence[Objective], baseline: Mapping[str, float]
) -> list[Panel]:
    """Every pair of objectives; a single objective over the trials."""
    axes = [_axis(objective, candidates, baseline) for objective in objectives]
    if len(axes) == 1:
        axes.insert(0, Axis("trial", "minimize", np.array([c.trial for c in candidates], float), None))
    front = np.array([c.on_front for c in candidates], bool)
    return [
        Panel(x, y, staircase(x.values[front], y.values[front], (x.direction, y.direction)))
        for x, y in combinations(axes, 2)
    ]


def grid_shape(panels: int) -> tuple[int, int]:
    """Rows and columns that so many panels fill, row by row."""
    columns = min(COLUMNS, panels)
    return -(-panels // columns), columns


def layers(candidates: Sequence[PlottedCandidate]) -> list[Layer]:
    """The candidates in the order of drawing: each is in one layer, empty layers are left out."""
    kinds = ["knee" if c.knee else "front" if c.on_front else "candidates" for c in candidates]
    knees = "; ".join(str(c) for c in candidates if c.knee)
    labels = {"candidates": "candidates", "front": "Pareto front", "knee": f"knee: {knees}"}
    members = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in labels}
    return [Layer(kind, label, members[kind]) for kind, label in labels.items() if members[kind]]


def staircase(
    x: NDArray[np.float64], y: NDArray[np.float64], directions: tuple[str, str]
) -> NDArray[np.float64]:
    """Corners [k, 2] of the edge of the region that the points [n] dominate in two objectives.

    Between two neighbours on the front only their common worse corner is attained: a staircase, no slope.
    """
    pairs = np.stack([x, y], axis=1)
    if not len(pairs):
        return pairs
    front = pairs[nondominated(minimised(pairs, directions))]
    front = front[np.argsort(minimised(front, directions)[:, 0], kind="stable")]
    corners = np.stack([front[1:, 0], front[:-1, 1]], axis=1)
    return np.insert(front, np.arange(1, len(front)), corners, axis=0)


def candidate_label(key: CandidateKey) -> str:
    """A candidate's name: ``trial 3, 2 steps``."""
    trial, steps = key
    return f"trial {trial}, {steps} step{'s' if steps > 1 else ''}"


def metric_label(name: str) -> str:
    """A metric's usual name."""
    return _NAMES.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:#.4g}"


def axis_label(metric: str, direction: str) -> str:
    """A metric's name and where it is better."""
    better = {"minimize": "lower", "maximize": "higher"}[direction]
    return f"{metric_label(metric)}, {better} is better"


def _axis(
    objective: Objective, candidates: Sequence[PlottedCandidate], baseline: Mapping[str, float]
) -> Axis:
    values = np.array([c.values[objective.name] for c in candidates], float)
    label = axis_label(objective.name, objective.direction)
    return Axis(label, objective.direction, values, baseline.get(objective.name))
