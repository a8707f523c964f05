"""Bayesian optimisation of several objectives: Gaussian processes over parameters and training share.

Early rungs inform too: the share of the training is an input of the processes, and proposals are evaluated at
its end. Running trials count at their predicted values (Kriging believer, Ginsbourger et al. 2010).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from platform.pareto.dominance import Values, nondominated
from platform.samplers.base import Proposal, params_key
from platform.samplers.designs import Sobol
from platform.study.dimensions import point_at
from platform.study.observation import Observation, Params, SearchSpace
from platform.surrogate import gaussian_process
from platform.surrogate.acquisition import HypervolumeImprovement
from platform.surrogate.encoding import TrialEncoder, fit_each, predict_each
from typing import Any

import numpy as np
from scipy.stats import norm, qmc

GLOBAL_EVERY = 3
"""Every so many proposals the whole space is considered too, else the surroundings of the front only."""
PARENTS, CANDIDATES, ELITE, CHILDREN = 20, 512, 8, 16
NEAR, REFINED = 0.1, (0.05, 0.02, 0.01)
"""Standard deviations, in the unit cube, of mutations of the front, then of the best candidates so far."""
FAR, EARLY = 0.3, 50
"""A larger deviation that is used as well while there are fewer trials than ``EARLY``."""
MIN_IMPROVEMENT = 1e-12
"""Improvement, in volumes of the box from ideal to corner, below which only feasibility counts."""


@dataclass(frozen=True)
class Model:
    """A process for each objective and each outcome constraint, and the hypervolume to improve."""

    objectives: Sequence[gaussian_process.Process]
    constraints: Sequence[gaussian_process.Process]
    improvement: HypervolumeImprovement

    def log_acquisition(self, inputs: Values, best: Values) -> Values:
        """Log [n] of expected hypervolume improvement over ``best`` [l] times the probability of feasibility.

        The logarithm still orders points that are very unlikely to be feasible (Ament et al. 2023).
        """
        expected = self.improvement.expected_improvement(*predict_each(self.objectives, inputs), best)
        means, deviations = predict_each(self.constraints, inputs)
        return np.asarray(np.log(expected + MIN_IMPROVEMENT) + norm.logcdf(-means / deviations).sum(1))

    def scalarised(self, inputs: Values) -> Values:
        """Scalarised predictions [n, l]; zero where a constraint is expected to be violated."""
        feasible = np.all(predict_each(self.constraints, inputs)[0] <= 0, axis=1)
        values = self.improvement.scalarised(predict_each(self.objectives, inputs)[0])
        return np.asarray(values * feasible[:, None])


@dataclass(frozen=True)
class Goal:
    """What a proposal is to improve: the best scalarised values [l], at none of the points ``tried``."""

    model: Model
    best: Values
    tried: Set[frozenset[tuple[str, Any]]]


class GaussianProcessSampler:
    """Sobol points until enough trials have reported, then expected hypervolume improvement."""

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._design, self._encoder = space, Sobol(space), TrialEncoder(space)
        self._startup = min(10, max(4, space.trials // 3))

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """The best candidate by expected improvement; None: the space accepts no point."""
        if sum(o.state != "failed" and bool(o.rungs) for o in observed) < self._startup:
            return self._design.propose(observed)
        rng = np.random.default_rng([self._space.seed, len(observed)])
        model = self._model(observed, rng)
        trained = [o for o in observed if o.state in ("completed", "running")]
        values = model.scalarised(self._encoder.ends(trained))
        steps = (FAR, NEAR) if len(observed) < EARLY else (NEAR,)
        cubes = self._near_front(observed, model, steps, rng)
        if len(observed) % GLOBAL_EVERY == 0:
            cubes = np.concatenate([cubes, qmc.Sobol(cubes.shape[1], rng=rng).random(CANDIDATES)])
        goal = Goal(model, values.max(0, initial=0.0), {params_key(o.params) for o in observed})
        return self._search(cubes, goal, (*steps, *REFINED), rng) or self._design.propose(observed)

    def _model(self, observed: Sequence[Observation], rng: np.random.Generator) -> Model:
        data, corner = self._encoder.data(observed), np.array(self._space.reference)
        objectives, constraints = (fit_each(data.inputs, y) for y in (data.objectives, data.violations))
        if running := [o for o in observed if o.state == "running"]:
            ends = self._encoder.ends(running)
            objectives, constraints = ([p.fantasised(ends) for p in ps] for ps in (objectives, constraints))
        improvement = HypervolumeImprovement.draw(data.objectives.min(0), corner, rng)
        return Model(objectives, constraints, improvement)

    def _near_front(
        self, observed: Sequence[Observation], model: Model, steps: Sequence[float], rng: np.random.Generator
    ) -> Values:
        """Unit-cube points [n, d] around the front that is predicted for the end of training."""
        any_completed = any(o.state == "completed" for o in observed)
        left = [o for o in observed if o.state != "failed" and (o.state != "paused" or not any_completed)]
        ends = self._encoder.ends(left)
        means, values = predict_each(model.objectives, ends)[0], model.scalarised(ends).mean(1)
        front = np.flatnonzero(nondominated(means))
        front = front[np.argsort(-values[front], kind="stable")][:PARENTS]
        parents = np.array([self._cube(left[i].params, rng) for i in front])
        children = CANDIDATES // (len(steps) * len(parents))
        return np.concatenate([mutated(parents, children, step, rng) for step in steps])

    def _search(
        self, cubes: Values, goal: Goal, steps: Sequence[float], rng: np.random.Generator
    ) -> Proposal | None:
        """The best of the cubes [n, d] after rounds of mutation; None where the space accepts none."""
        cubes, scores = self._scored(cubes, goal)
        if not len(cubes):
            return None
        for step in steps:
            elite = np.argsort(-scores, kind="stable")[:ELITE]
            children, child_scores = self._scored(mutated(cubes[elite], CHILDREN, step, rng), goal)
            cubes = np.concatenate([cubes[elite], children])
            scores = np.concatenate([scores[elite], child_scores])
        return Proposal(point_at(self._space.dimensions, cubes[int(np.argmax(scores))]))

    def _scored(self, cubes: Values, goal: Goal) -> tuple[Values, Values]:
        """Those of the cubes [n, d] that are new and accepted by the space, and their log acquisition [n]."""
        points = [point_at(self._space.dimensions, cube) for cube in cubes.tolist()]
        new = [i for i, params in enumerate(points) if params_key(params) not in goal.tried]
        accepted = [i for i in new if not self._space.refusal(points[i])]
        if not accepted:
            return cubes[:0], np.empty(0)
        inputs = self._encoder.inputs([(points[i], 1.0) for i in accepted])
        return cubes[accepted], goal.model.log_acquisition(inputs, goal.best)

    def _cube(self, params: Params, rng: np.random.Generator) -> list[float]:
        """The unit-cube point [d] of parameters; inactive ones are random."""
        return [d.unit(params[d.name]) if d.name in params else rng.random() for d in self._space.dimensions]


def mutated(parents: Values, children: int, step: float, rng: np.random.Generator) -> Values:
    """Normal steps from each parent [p, d] in a few coordinates, at least one: [p * children, d]."""
    repeated = np.repeat(parents, children, axis=0)
    count, dimension = repeated.shape
    moves = rng.random(repeated.shape) < max(0.25, 2 / dimension)
    moves[np.arange(count), rng.integers(dimension, size=count)] = True
    return np.asarray(np.clip(repeated + moves * step * rng.standard_normal(repeated.shape), 0, 1))
