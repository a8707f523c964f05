"""Realism against fidelity: what is drawn of each system, the untouched input and the 3 T itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from platform.pareto.dominance import Values, minimised, nondominated
from platform.reporting.panels import axis_label, staircase
from platform.stats.ranks import Cell, cells
from platform.stats.scores import SystemResult

import numpy as np

REALISM, FIDELITY = ("patch_fd", "fid"), ("psnr", "ms_ssim")
"""Realism is the first of its measures that a row has: FID does not see anatomy."""
DIRECTIONS = ("minimize", "maximize")
LINEAR_RANGE = 8.0
"""From the smallest to the largest realism; beyond this, only a logarithm shows them all."""


@dataclass(frozen=True)
class Spot:
    """A row in a view; ``kind`` is "front" or another "system", or "input"."""

    label: str
    kind: str
    x: Cell
    y: Cell


@dataclass(frozen=True)
class View:
    """Realism against one measure of fidelity."""

    realism: str
    metric: str
    spots: tuple[Spot, ...]
    floor: tuple[str, float] | None
    """Label and realism of the 3 T itself."""
    edge: Values
    """[k, 2], of the region that the systems dominate."""
    log: bool
    """Whether realism is on a logarithmic axis."""
    limits: Values
    """[2, 2]: of x, of y."""

    def unit(self, points: Values) -> Values:
        """Where points [n, 2] lie between the limits, in [0, 1] from the lower left."""
        scaled = self.scaled(points)
        low, high = self.scaled(self.limits.T)
        return np.asarray((scaled - low) / (high - low))

    def scaled(self, points: Values) -> Values:
        """Points [n, 2] as the axes count, in decades where they are logarithmic."""
        return np.stack([np.log10(points[:, 0]), points[:, 1]], 1) if self.log else points

    @property
    def titles(self) -> tuple[str, str]:
        """Of both axes."""
        return axis_label(self.realism, DIRECTIONS[0]), axis_label(self.metric, DIRECTIONS[1])

    @property
    def means(self) -> Values:
        """[n, 2], of the spots."""
        return np.array([[s.x.mean, s.y.mean] for s in self.spots])

    @property
    def bars(self) -> Values:
        """[n, 2, 2]: of x and of y, low and high, within the limits; the mean twice without an interval."""
        bounds = np.array([[_bounds(s.x), _bounds(s.y)] for s in self.spots])
        return np.asarray(np.clip(bounds, self.limits[:, 0, None], self.limits[:, 1, None]))


def views(rows: Sequence[SystemResult]) -> list[View]:
    """A view for each measure of fidelity that a row has beside its realism."""
    known = [name for name in REALISM if any(name in seed for row in rows for seed in row.seeds)]
    made = [_view(rows, known[0], metric) for metric in FIDELITY if known]
    return [view for view in made if view]


def _view(rows: Sequence[SystemResult], realism: str, metric: str) -> View | None:
    both = zip(
        rows, *(cells(rows, *of) for of in zip((realism, metric), DIRECTIONS, strict=True)), strict=True
    )
    known = [(row, x, y) for row, x, y in both if x and np.isfinite(x.mean)]
    floor = next(((row.label, x.mean) for row, x, _ in known if row.kind == "truth"), None)
    spots = [
        Spot(row.label, row.kind, x, y)
        for row, x, y in known
        if row.kind != "truth" and y and np.isfinite(y.mean)
    ]
    if not spots:
        return None
    systems = [spot for spot in spots if spot.kind == "system"]
    x, y = np.array([spot.x.mean for spot in systems]), np.array([spot.y.mean for spot in systems])
    on_front = nondominated(minimised(np.stack([x, y], 1), DIRECTIONS))
    front = [system for system, on in zip(systems, on_front, strict=True) if on]
    spots = [replace(spot, kind="front") if spot in front else spot for spot in spots]
    return View(realism, metric, tuple(spots), floor, staircase(x, y, DIRECTIONS), *_limits(spots, floor))


def _limits(spots: Sequence[Spot], floor: tuple[str, float] | None) -> tuple[bool, Values]:
    """Whether x is logarithmic, and limits [2, 2] around all means and bars."""
    middles = np.array([*(spot.x.mean for spot in spots), *(floor or ())[1:]])
    x = np.array([*middles, *(bound for spot in spots for bound in _bounds(spot.x))])
    y = np.array([bound for spot in spots for bound in _bounds(spot.y)])
    if middles.min() > 0 and middles.max() > LINEAR_RANGE * middles.min():
        return True, np.array([np.exp(_around(np.log(np.maximum(x, middles.min() / 2)))), _around(y)])
    return False, np.array([_around(x), _around(y)])


def _around(values: Values) -> tuple[float, float]:
    margin = 0.07 * np.ptp(values) or 0.1 * abs(values[0]) or 1.0
    return float(values.min() - margin), float(values.max() + margin)


def _bounds(cell: Cell) -> tuple[float, float]:
    return (cell.mean, cell.mean) if np.isnan(cell.low) else (cell.low, cell.high)
