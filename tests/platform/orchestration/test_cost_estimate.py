"""How long a study will take, by hand computation."""

from collections.abc import Callable
from dataclasses import replace
from platform.execution.machine import Machine
from platform.orchestration import cost_estimate
from platform.orchestration.cost_estimate import CORE_FLOPS, GPU_FLOPS, estimate, estimated_seconds
from platform.study.budget import Budget
from platform.study.settings import Resources
from platform.study.study import Study
from typing import Any

import pytest

MakeStudy = Callable[..., Study]
OPERATIONS = 5 * 1e12
"""Of a trial: five steps."""


@pytest.mark.parametrize(
    ("resources", "machine", "trials", "expected"),
    [
        (Resources(cpus=1), Machine(2, 0), 4, 2 * OPERATIONS / CORE_FLOPS),
        (Resources(cpus=2), Machine(2, 0), 4, 4 * OPERATIONS / (2 * CORE_FLOPS)),
        (Resources(cpus=1), Machine(8, 0), 3, OPERATIONS / CORE_FLOPS),  # never below one trial
        (Resources(cpus=1), Machine(2, 0), 5, 3 * OPERATIONS / CORE_FLOPS),  # the last one runs alone
        (Resources(cpus=1, gpus=0.5), Machine(9, 1), 2, OPERATIONS / (0.5 * GPU_FLOPS)),
        # Each worker has a batch of its own:
        (Resources(cpus=2, gpus=2, workers=2), Machine(9, 2), 2, 2 * OPERATIONS / GPU_FLOPS),
    ],
)
def test_the_estimate_is_operations_over_rate_in_waves(
    toy: MakeStudy,
    monkeypatch: pytest.MonkeyPatch,
    resources: Resources,
    machine: Machine,
    trials: int,
    expected: float,
) -> None:
    monkeypatch.setattr(cost_estimate, "step_flops", lambda method, config, references: 1e12)
    study = toy(resources=resources, budget=Budget(trials=trials))
    assert estimated_seconds(study, machine) == pytest.approx(expected)
    # As many retrainings take as long as the trials, and are in words.
    assert estimated_seconds(study, machine, trials) == pytest.approx(2 * expected)
    assert f"with {trials} retrainings" in estimate(study, machine, trials)
    assert "retrainings" not in estimate(study, machine)


def test_the_estimate_is_of_the_first_start_point(
    toy: MakeStudy, start_points: tuple[dict[str, Any], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[Any] = []
    monkeypatch.setattr(
        cost_estimate, "step_flops", lambda _, config, references: configs.append(config) or 1
    )
    estimated_seconds(toy(start=start_points), Machine(1, 0))
    assert (configs[0].weight, configs[0].norm) == (start_points[0]["weight"], start_points[0]["norm"])


def test_a_real_study_costs_in_proportion_to_its_batch(smoke: Study) -> None:
    once = estimated_seconds(smoke, Machine(1, 0))
    larger = estimated_seconds(replace(smoke, fixed=smoke.fixed | {"batch_size": 8}), Machine(1, 0))
    assert 0 < once < 60
    assert 2 < larger / once < 6  # four times; the counted steps differ at random
