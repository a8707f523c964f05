"""Observations as Gaussian processes take them: rungs in, predictions for the end of training out."""

from collections.abc import Sequence
from dataclasses import dataclass
from platform.pareto.dominance import Values
from platform.study.dimensions import Choice
from platform.study.observation import Observation, Params, SearchSpace
from platform.surrogate import gaussian_process

import numpy as np

LARGEST = 400
"""Rungs from which a process learns: ends of training before others, of those the newest."""
BEYOND = 2.0
"""Ways from the best value to the corner that a value can count as beyond the corner, at most."""


@dataclass(frozen=True)
class Data:
    """Inputs [n, d], objectives [n, m], violations [n, c]."""

    inputs: Values
    objectives: Values
    violations: Values


class TrialEncoder:
    """Parameters and training shares as inputs, rungs as outputs."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._width = 1 + sum(d.size if isinstance(d, Choice) else 1 for d in space.dimensions)

    def data(self, seen: Sequence[Observation]) -> Data:
        """The rungs; at least one.

        What lies far beyond the corner is drawn near it by :func:`drawn`, else it would drown the differences
        that count; violations are cut by :func:`capped` for the same reason. A failed trial is as bad as the
        worst.
        """
        corner = np.array(self._space.reference)
        rungs = [(o.params, rung) for o in seen for rung in o.rungs]
        if len(rungs) > LARGEST:
            rungs = sorted(rungs, key=lambda pair: pair[1].share >= 1)[-LARGEST:]
        failed = [(o.params, 1.0) for o in seen if o.state == "failed"]
        values = drawn(np.array([rung.values for _, rung in rungs]), corner)
        worst = np.maximum(values.max(0), corner)
        violations = capped(np.array([rung.violations for _, rung in rungs]))
        broken = violations.max(0, initial=0.0)
        return Data(
            self.inputs([(params, rung.share) for params, rung in rungs] + failed),
            np.concatenate([values, np.tile(worst, (len(failed), 1))]),
            np.concatenate([violations, np.tile(broken, (len(failed), 1))]),
        )

    def ends(self, seen: Sequence[Observation]) -> Values:
        """Inputs [n, d] of the ends of the trials' training."""
        return self.inputs([(o.params, 1.0) for o in seen])

    def inputs(self, points: Sequence[tuple[Params, float]]) -> Values:
        """Parameters and training shares as inputs [n, d]; choices one-hot, inactive ones in the middle."""
        rows = []
        for params, share in points:
            row = [1 + np.log(share) / 4]
            for dimension in self._space.dimensions:
                here = dimension.name in params
                if isinstance(dimension, Choice):
                    row += [float(here and params[dimension.name] == value) for value in dimension.values]
                else:
                    row.append(dimension.unit(params[dimension.name]) if here else 0.5)
            rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(len(rows), self._width)


def drawn(values: Values, corner: Values) -> Values:
    """Values [n, m], those beyond the corner drawn towards it: as they were in order, none far.

    In an objective that is nowhere better than the corner its best value takes the corner's place.
    """
    best = values.min(0)
    knee = np.maximum(corner, best)
    unit = np.where(best < corner, corner - best, np.median(values, axis=0) - best)
    beyond = np.clip(values - knee, 0, None) / np.where(unit > 0, unit, 1)
    return np.where(values > knee, knee + unit * beyond / (1 + beyond / BEYOND), values)


def capped(violations: Values) -> Values:
    """Violations [n, c], none beyond three times what is usual where its bound is broken, nor cut below 1."""
    usual = [np.median(column[column > 0]) if (column > 0).any() else 0.0 for column in violations.T]
    most = np.maximum(1.0, 3 * np.array(usual))
    return np.asarray(np.clip(violations, -most, most))


def fitted(inputs: Values, outputs: Values) -> list[gaussian_process.Process]:
    """A process for each column of outputs [n, m]."""
    return [gaussian_process.fit(inputs, column) for column in outputs.T]


def predicted(processes: Sequence[gaussian_process.Process], inputs: Values) -> tuple[Values, Values]:
    """Means and deviations [n, m] of the processes at inputs [n, d]."""
    means, deviations = np.empty((2, len(inputs), len(processes)))
    for column, process in enumerate(processes):
        means[:, column], deviations[:, column] = process.predict(inputs)
    return means, deviations
