"""What trials will reach at the end of their training, predicted from all rungs of all trials."""

from collections.abc import Mapping, Sequence
from platform.pareto.dominance import Values
from platform.study.observation import Observation, SearchSpace
from platform.surrogate import gaussian_process
from platform.surrogate.encoding import TrialEncoder, fit_each, predict_each

MIN_COMPLETED = 4
"""Completed trials that a forecast needs: with two, rungs predicted our recorded trainings better."""
MOST_RUNGS = 500
"""Rungs up to which ends are forecast. Beyond, a forecast would take seconds, and a level has hundreds of
results to compare a trial with."""
REFIT_GROWTH = 1.15
"""Hyperparameters are fitted again when the number of rungs has grown by this factor."""


class Forecaster:
    """Gaussian processes over parameters and training share, conditioned on every rung."""

    def __init__(self, space: SearchSpace, known: Sequence[Observation] = ()) -> None:
        """``known``: trials of an earlier study, which the processes are conditioned on as well."""
        self._encoder, self._known = TrialEncoder(space), known
        self._fitted: list[gaussian_process.Process] = []
        self._rungs = 0

    def ends(self, observed: Mapping[int, Observation]) -> dict[int, Values]:
        """Expected objectives [1, m], minimised, at the end of training, by trial.

        Of every trial that has reported and not failed; empty before :data:`MIN_COMPLETED` trials, known ones
        included, have completed, and beyond :data:`MOST_RUNGS`.
        """
        trials = [*self._known, *observed.values()]
        if sum(len(o.rungs) for o in trials) > MOST_RUNGS:
            return {}
        reported = {number: o for number, o in observed.items() if o.rungs and o.state != "failed"}
        if not reported or sum(o.state == "completed" for o in trials) < MIN_COMPLETED:
            return {}
        data, rungs = self._encoder.data(trials), sum(len(o.rungs) for o in trials)
        if rungs > REFIT_GROWTH * self._rungs:
            self._fitted, self._rungs = fit_each(data.inputs, data.objectives), rungs
        pairs = zip(self._fitted, data.objectives.T, strict=True)
        updated = [process.conditioned(data.inputs, column) for process, column in pairs]
        means, _ = predict_each(updated, self._encoder.ends(list(reported.values())))
        return {number: mean[None] for number, mean in zip(reported, means, strict=True)}
