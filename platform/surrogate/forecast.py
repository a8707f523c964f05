"""What trials will reach at the end of their training, from all that was seen of all of them."""

from collections.abc import Mapping, Sequence
from platform.pareto.dominance import Values
from platform.study.observation import Observation, SearchSpace
from platform.surrogate import gaussian_process
from platform.surrogate.encoding import TrialEncoder, fitted, predicted

FEWEST = 4
"""Trials that must have completed before anything is forecast: with two the way to the end is guessed, and
of our recorded trainings rungs themselves then told more."""
GROWTH = 1.15
"""Length scales are fitted again when the rungs have grown by so much."""


class Forecaster:
    """Gaussian processes over parameters and training share, conditioned on every rung."""

    def __init__(self, space: SearchSpace, known: Sequence[Observation] = ()) -> None:
        """``known``: trials of an earlier study, that teach as well."""
        self._encoder, self._known = TrialEncoder(space), known
        self._fitted: list[gaussian_process.Process] = []
        self._rungs = 0

    def ends(self, seen: Mapping[int, Observation]) -> dict[int, Values]:
        """Expected objectives [1, m], minimised, of every trial that has reported; none with too few ends."""
        told = {number: o for number, o in seen.items() if o.rungs and o.state != "failed"}
        teachers = [*self._known, *seen.values()]
        if not told or sum(o.state == "completed" for o in teachers) < FEWEST:
            return {}
        data, rungs = self._encoder.data(teachers), sum(len(o.rungs) for o in teachers)
        if rungs > GROWTH * self._rungs:
            self._fitted, self._rungs = fitted(data.inputs, data.objectives), rungs
        pairs = zip(self._fitted, data.objectives.T, strict=True)
        now = [process.conditioned(data.inputs, column) for process, column in pairs]
        means, _ = predicted(now, self._encoder.ends(list(told.values())))
        return {number: mean[None] for number, mean in zip(told, means, strict=True)}
