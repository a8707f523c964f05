"""Which sampler a name makes."""

from platform.samplers.designs import Grid, Random, Sobol
from platform.samplers.factory import MANY_TRIALS, make_sampler
from platform.samplers.gp import GaussianProcessSampler
from platform.samplers.optuna_samplers import OptunaSampler
from platform.spaces.sections import SAMPLERS
from platform.study.dimensions import Choice, Uniform
from platform.study.observation import SearchSpace

import pytest


@pytest.mark.parametrize(
    ("name", "trials", "numeric", "expected"),
    [
        ("auto", MANY_TRIALS, 2, GaussianProcessSampler),
        ("auto", MANY_TRIALS + 1, 2, OptunaSampler),
        ("auto", 100, 0, OptunaSampler),
        ("auto", 100, 1, GaussianProcessSampler),
        ("tpe", 10, 2, OptunaSampler),
        ("nsga3", 10, 2, OptunaSampler),
        ("gp", 1000, 0, GaussianProcessSampler),
        ("random", 10, 2, Random),
        ("sobol", 10, 2, Sobol),
        ("grid", 10, 0, Grid),
    ],
)
def test_auto_is_gp_for_few_trials_of_a_mostly_numeric_space(
    name: str, trials: int, numeric: int, expected: type
) -> None:
    numbers = tuple(Uniform(f"x{i}", 0.0, 1.0) for i in range(numeric))
    space = SearchSpace((*numbers, Choice("c", (1, 2))), (1.0, 1.0), trials, 0)
    assert type(make_sampler(name, space)) is expected


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_that_a_space_file_may_name_can_be_made(name: str) -> None:
    space = SearchSpace((Choice("c", (1, 2)), Choice("d", (1, 2))), (1.0, 1.0), 10, 0)
    assert make_sampler(name, space).propose([]) is not None
