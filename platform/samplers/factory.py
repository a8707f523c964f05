"""Samplers by name."""

from platform.samplers.base import Sampler
from platform.samplers.designs import Grid, Random, Sobol
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.study.dimensions import Choice
from platform.study.observation import SearchSpace

MANY_TRIALS = 400
"""With more trials Gaussian processes use a part of them and take seconds: there ``auto`` is TPE."""


def make_sampler(name: str, space: SearchSpace) -> Sampler:
    """A sampler by its name in ``spaces.sections.SAMPLERS``; ``auto`` chooses by the benchmark's results.

    These are for Gaussian processes up to :data:`MANY_TRIALS` trials of a space that is at least half
    numeric, else for TPE.
    """
    if name == "auto":
        numeric = sum(not isinstance(dimension, Choice) for dimension in space.dimensions)
        name = "gp" if space.trials <= MANY_TRIALS and 2 * numeric >= len(space.dimensions) else "tpe"
    match name:
        case "gp":
            return GaussianProcessSampler(space)
        case "sobol":
            return Sobol(space)
        case "random":
            return Random(space)
        case "grid":
            return Grid(space)
        case _:
            return OptunaSampler(space, name)
