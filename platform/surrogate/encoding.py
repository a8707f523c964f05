"""Observations as Gaussian processes take them: rungs in, predictions for the end of training out."""

from collections.abc import Sequence
from dataclasses import dataclass
from platform.pareto.dominance import Values
from platform.study.dimensions import Choice
from platform.study.observation import Observation, Params, SearchSpace
from platform.surrogate import gaussian_process

import numpy as np

MAX_RUNGS = 400
"""Rungs that processes are conditioned on, at most: ends of training first, then the newest of the others."""
MAX_EXCESS = 2.0
"""Limit to which values beyond the corner are compressed, in distances from the best value to the corner."""


@dataclass(frozen=True)
class TrainingData:
    """Inputs [n, d], objectives [n, m], violations of outcome constraints [n, c]."""

    inputs: Values
    objectives: Values
    violations: Values


class TrialEncoder:
    """Parameters and training shares as inputs, rungs as outputs."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._width = 1 + sum(d.size if isinstance(d, Choice) else 1 for d in space.dimensions)

    def data(self, observed: Sequence[Observation]) -> TrainingData:
        """All rungs, at least one; a failed trial counts as bad as the worst.

        Values far beyond the corner are compressed towards it (:func:`compressed`) and large violations are
        clipped (:func:`clipped`): their range would hide the differences that matter.
        """
        corner = np.array(self._space.reference)
        rungs = [(o.params, rung) for o in observed for rung in o.rungs]
        if len(rungs) > MAX_RUNGS:
            rungs = sorted(rungs, key=lambda pair: pair[1].share >= 1)[-MAX_RUNGS:]
        failed = [(o.params, 1.0) for o in observed if o.state == "failed"]
        values = compressed(np.array([rung.values for _, rung in rungs]), corner)
        worst = np.maximum(values.max(0), corner)
        violations = clipped(np.array([rung.violations for _, rung in rungs]))
        largest = violations.max(0, initial=0.0)
        return TrainingData(
            self.inputs([(params, rung.share) for params, rung in rungs] + failed),
            np.concatenate([values, np.tile(worst, (len(failed), 1))]),
            np.concatenate([violations, np.tile(largest, (len(failed), 1))]),
        )

    def ends(self, observed: Sequence[Observation]) -> Values:
        """Inputs [n, d] of the ends of the trials' training."""
        return self.inputs([(o.params, 1.0) for o in observed])

    def inputs(self, points: Sequence[tuple[Params, float]]) -> Values:
        """Parameters and training shares as inputs [n, d]; choices one-hot, inactive parameters at 0.5."""
        rows = []
        for params, share in points:
            row = [1 + np.log(share) / 4]
            for dimension in self._space.dimensions:
                active = dimension.name in params
                if isinstance(dimension, Choice):
                    row += [float(active and params[dimension.name] == value) for value in dimension.values]
                else:
                    row.append(dimension.unit(params[dimension.name]) if active else 0.5)
            rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(len(rows), self._width)


def compressed(values: Values, corner: Values) -> Values:
    """Values [n, m], those beyond the corner compressed to :data:`MAX_EXCESS`; their order stays.

    In an objective that is nowhere better than the corner its best value replaces the corner.
    """
    best = values.min(0)
    start = np.maximum(corner, best)
    unit = np.where(best < corner, corner - best, np.median(values, axis=0) - best)
    excess = np.clip(values - start, 0, None) / np.where(unit > 0, unit, 1)
    return np.where(values > start, start + unit * excess / (1 + excess / MAX_EXCESS), values)


def clipped(violations: Values) -> Values:
    """Violations [n, c] clipped at three times the median of their column's positive ones, at least at 1."""
    medians = [np.median(column[column > 0]) if (column > 0).any() else 0.0 for column in violations.T]
    limits = np.maximum(1.0, 3 * np.array(medians))
    return np.asarray(np.clip(violations, -limits, limits))


def fit_each(inputs: Values, outputs: Values) -> list[gaussian_process.Process]:
    """A process for each column of outputs [n, m] at inputs [n, d]."""
    return [gaussian_process.fit(inputs, column) for column in outputs.T]


def predict_each(processes: Sequence[gaussian_process.Process], inputs: Values) -> tuple[Values, Values]:
    """Means and deviations [n, m] of the processes at inputs [n, d]."""
    means, deviations = np.empty((2, len(inputs), len(processes)))
    for column, process in enumerate(processes):
        means[:, column], deviations[:, column] = process.predict(inputs)
    return means, deviations
