"""Bayesian optimisation of several objectives: Gaussian processes over parameters and training share.

Early rungs teach too: the share of the training is an input of the processes, and proposals are judged at its
end. Points that run are taken at their predicted values (Kriging believer, Ginsbourger et al. 2010).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from platform.pareto.dominance import Values, nondominated
from platform.samplers.base import Proposal
from platform.samplers.designs import Sobol
from platform.study.dimensions import point_at
from platform.study.observation import Observation, Params, SearchSpace
from platform.surrogate import gaussian_process
from platform.surrogate.acquisition import HypervolumeImprovement
from platform.surrogate.encoding import TrialEncoder, fitted, predicted
from typing import Any

import numpy as np
from scipy.stats import norm, qmc

GLOBAL_EVERY = 3
"""One proposal in so many considers the whole space too, the others the front's surroundings."""
PARENTS, DRAWN, CLIMBERS, CHILDREN = 20, 512, 8, 16
NEAR, CLOSER = 0.1, (0.05, 0.02, 0.01)
"""Deviations, in unit cubes, of candidates around the front, then of the rounds around the best."""
NOTHING = 1e-12
"""Improvement, in volumes of the box from ideal to corner, below which only feasibility counts."""
FAR, EARLY = 0.3, 50
"""Deviation that comes before the near one while so few trials are seen: later they refine what was found."""


@dataclass(frozen=True)
class Model:
    """A process an objective and an outcome constraint, and the hypervolume that is to be improved."""

    objectives: Sequence[gaussian_process.Process]
    constraints: Sequence[gaussian_process.Process]
    improvement: HypervolumeImprovement

    def worth(self, inputs: Values, best: Values) -> Values:
        """Log [n] of the expected hypervolume improvement over ``best`` times the probability to be feasible.

        A logarithm, as that of a point far from feasible is to be compared too (Ament et al. 2023).
        """
        gain = self.improvement.expected_improvement(*predicted(self.objectives, inputs), best)
        means, deviations = predicted(self.constraints, inputs)
        return np.asarray(np.log(gain + NOTHING) + norm.logcdf(-means / deviations).sum(1))

    def gains(self, inputs: Values) -> Values:
        """Scalarised predictions [n, l]; nothing where a constraint is expected to be broken."""
        feasible = np.all(predicted(self.constraints, inputs)[0] <= 0, axis=1)
        return np.asarray(
            self.improvement.scalarised(predicted(self.objectives, inputs)[0]) * feasible[:, None]
        )


@dataclass(frozen=True)
class Goal:
    """What a proposal is to improve: scalarised values ``best`` [l], at none of the points tried."""

    model: Model
    best: Values
    tried: Set[frozenset[tuple[str, Any]]]


class GaussianProcessSampler:
    """Sobol points until enough trials have reported, then expected hypervolume improvement."""

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._design, self._encoder = space, Sobol(space), TrialEncoder(space)
        self._startup = min(10, max(4, space.trials // 3))

    def propose(self, seen: Sequence[Observation]) -> Proposal | None:
        """The point of most expected improvement, of those found; None: the space takes none."""
        if sum(o.state != "failed" and bool(o.rungs) for o in seen) < self._startup:
            return self._design.propose(seen)
        rng = np.random.default_rng([self._space.seed, len(seen)])
        model = self._model(seen, rng)
        known = [o for o in seen if o.state in ("completed", "running")]
        gains = model.gains(self._encoder.ends(known))
        steps = (FAR, NEAR) if len(seen) < EARLY else (NEAR,)
        cubes = self._around(seen, model, steps, rng)
        if len(seen) % GLOBAL_EVERY == 0:
            cubes = np.concatenate([cubes, qmc.Sobol(cubes.shape[1], rng=rng).random(DRAWN)])
        goal = Goal(model, gains.max(0, initial=0.0), {key(o.params) for o in seen})
        return self._climbed(cubes, goal, (*steps, *CLOSER), rng) or self._design.propose(seen)

    def _model(self, seen: Sequence[Observation], rng: np.random.Generator) -> Model:
        data, corner = self._encoder.data(seen), np.array(self._space.reference)
        objectives, constraints = (fitted(data.inputs, y) for y in (data.objectives, data.violations))
        if running := [o for o in seen if o.state == "running"]:
            ends = self._encoder.ends(running)
            objectives, constraints = ([p.believe(ends) for p in ps] for ps in (objectives, constraints))
        improvement = HypervolumeImprovement.draw(data.objectives.min(0), corner, rng)
        return Model(objectives, constraints, improvement)

    def _around(
        self, seen: Sequence[Observation], model: Model, steps: Sequence[float], rng: np.random.Generator
    ) -> Values:
        """Unit-cube points [n, d] around the front, as it is predicted for the end of training."""
        done = any(o.state == "completed" for o in seen)
        alive = [o for o in seen if o.state != "failed" and (o.state != "paused" or not done)]
        ends = self._encoder.ends(alive)
        means, gains = predicted(model.objectives, ends)[0], model.gains(ends).mean(1)
        front = np.flatnonzero(nondominated(means))
        front = front[np.argsort(-gains[front], kind="stable")][:PARENTS]
        parents = np.array([self._cube(alive[i].params, rng) for i in front])
        children = DRAWN // (len(steps) * len(parents))
        return np.concatenate([mutated(parents, children, step, rng) for step in steps])

    def _climbed(
        self, cubes: Values, goal: Goal, steps: Sequence[float], rng: np.random.Generator
    ) -> Proposal | None:
        """The best of the cubes [n, d] after rounds of mutation; None where the space takes none."""
        cubes, worth = self._judged(cubes, goal)
        for step in steps if len(cubes) else ():
            order = np.argsort(-worth, kind="stable")[:CLIMBERS]
            children, theirs = self._judged(mutated(cubes[order], CHILDREN, step, rng), goal)
            cubes = np.concatenate([cubes[order], children])
            worth = np.concatenate([worth[order], theirs])
        return (
            Proposal(point_at(self._space.dimensions, cubes[int(np.argmax(worth))])) if len(cubes) else None
        )

    def _judged(self, cubes: Values, goal: Goal) -> tuple[Values, Values]:
        """Those of the cubes [n, d] that the space takes and that are new, and their worth."""
        points = [point_at(self._space.dimensions, cube) for cube in cubes.tolist()]
        new = [i for i, params in enumerate(points) if key(params) not in goal.tried]
        taken = [i for i in new if not self._space.refusal(points[i])]
        if not taken:
            return cubes[:0], np.empty(0)
        inputs = self._encoder.inputs([(points[i], 1.0) for i in taken])
        return cubes[taken], goal.model.worth(inputs, goal.best)

    def _cube(self, params: Params, rng: np.random.Generator) -> list[float]:
        """The unit-cube point [d] of parameters; inactive ones anywhere."""
        return [d.unit(params[d.name]) if d.name in params else rng.random() for d in self._space.dimensions]


def key(params: Params) -> frozenset[tuple[str, Any]]:
    """Parameters as a set holds them."""
    return frozenset(params.items())


def mutated(parents: Values, children: int, step: float, rng: np.random.Generator) -> Values:
    """Normal steps from each parent [p, d] in a few coordinates, at least one: [p * children, d]."""
    many = np.repeat(parents, children, axis=0)
    count, dimension = many.shape
    moves = rng.random(many.shape) < max(0.25, 2 / dimension)
    moves[np.arange(count), rng.integers(dimension, size=count)] = True
    return np.asarray(np.clip(many + moves * step * rng.standard_normal(many.shape), 0, 1))
