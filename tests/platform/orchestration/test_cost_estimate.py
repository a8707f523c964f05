"""What fits on a machine and what it will take, by hand computation."""

from collections.abc import Callable
from dataclasses import replace
from platform.orchestration import cost_estimate
from platform.orchestration.cost_estimate import (
    CORE_FLOPS,
    GPU_FLOPS,
    Machine,
    choose_profile,
    concurrency,
    estimated_seconds,
)
from platform.study.budget import Budget
from platform.study.dimensions import Choice
from platform.study.settings import Resources
from platform.study.study import Study
from typing import Any

import pytest

from trainers.errors import InputError

MakeStudy = Callable[..., Study]
BOTH = ("laptop", "cluster")


@pytest.mark.parametrize(
    ("resources", "machine", "expected"),
    [
        (Resources(cpus=1), Machine(2, 0), 2),
        (Resources(cpus=2), Machine(7, 0), 3),
        (Resources(cpus=4), Machine(2, 0), 1),  # one at least; require_fit refuses it
        (Resources(cpus=1, concurrent=3), Machine(8, 0), 3),
        (Resources(cpus=1, concurrent=30), Machine(8, 0), 8),
        (Resources(cpus=1, gpus=0.5), Machine(16, 2), 4),
        (Resources(cpus=1, gpus=0.1), Machine(16, 1), 10),
        (Resources(cpus=1, gpus=0.3), Machine(16, 1), 3),
        (Resources(cpus=8, gpus=0.25), Machine(16, 4), 2),
        (Resources(cpus=8, gpus=4, workers=4), Machine(64, 8), 2),
    ],
)
def test_trials_at_a_time_are_as_many_as_fit(resources: Resources, machine: Machine, expected: int) -> None:
    assert concurrency(resources, machine) == expected


@pytest.mark.parametrize(
    ("machine", "profiles", "address", "expected"),
    [
        (Machine(8, 0), BOTH, None, "laptop"),
        (Machine(8, 1), BOTH, None, "cluster"),
        (Machine(8, 0), BOTH, "ray://head:10001", "cluster"),
        (Machine(8, 1), ("laptop",), None, None),
        (Machine(8, 0), (), None, None),
    ],
)
def test_the_profile_follows_the_resources(
    machine: Machine, profiles: tuple[str, ...], address: str | None, expected: str | None
) -> None:
    assert choose_profile(machine, profiles, address) == expected


def test_a_trial_larger_than_the_machine_is_refused(toy: MakeStudy) -> None:
    cost_estimate.require_fit(toy(resources=Resources(cpus=4, gpus=1)), Machine(4, 1))
    with pytest.raises(InputError) as cores:
        cost_estimate.require_fit(toy(resources=Resources(cpus=5)), Machine(4, 1))
    assert str(cores.value) == "toy.yaml: resources: cpus: 5 is more than there are; allowed: at most 4"
    with pytest.raises(InputError) as gpus:
        cost_estimate.require_fit(toy(resources=Resources(cpus=1, gpus=0.5)), Machine(4, 0))
    assert str(gpus.value) == "toy.yaml: resources: gpus: 0.5 is more than there are; allowed: at most 0"


@pytest.mark.parametrize(
    ("resources", "machine", "trials", "expected"),
    [
        (Resources(cpus=1), Machine(2, 0), 4, 2 * 5 * 1e12 / CORE_FLOPS),
        (Resources(cpus=2), Machine(2, 0), 4, 4 * 5 * 1e12 / (2 * CORE_FLOPS)),
        (Resources(cpus=1), Machine(8, 0), 3, 5 * 1e12 / CORE_FLOPS),  # never below one trial
        (Resources(cpus=1), Machine(2, 0), 5, 3 * 5 * 1e12 / CORE_FLOPS),  # the last one runs alone
        (Resources(cpus=1, gpus=0.5), Machine(9, 1), 2, 5 * 1e12 / (0.5 * GPU_FLOPS)),
        (
            Resources(cpus=2, gpus=2, workers=2),
            Machine(9, 2),
            2,
            2 * 5 * 1e12 / GPU_FLOPS,
        ),  # each its own batch
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
    study = toy(resources=resources, budget=Budget(trials=trials))  # five steps a trial
    assert estimated_seconds(study, machine) == pytest.approx(expected)
    # As many retrainings take as long as the trials, and are in words.
    assert estimated_seconds(study, machine, trials) == pytest.approx(2 * expected)
    assert f"with {trials} retrainings" in cost_estimate.estimate(study, machine, trials)
    assert "retrainings" not in cost_estimate.estimate(study, machine)


def test_the_estimate_is_of_the_first_start_point(
    toy: MakeStudy, start_points: tuple[dict[str, Any], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        cost_estimate, "step_flops", lambda method, config, references: seen.append(config) or 1.0
    )
    estimated_seconds(toy(start=start_points), Machine(1, 0))
    assert (seen[0].weight, seen[0].norm) == (start_points[0]["weight"], start_points[0]["norm"])


def test_a_real_study_costs_in_proportion_to_its_batch(smoke: Study) -> None:
    machine = Machine(1, 0)
    once = estimated_seconds(smoke, machine)
    larger = estimated_seconds(replace(smoke, fixed=smoke.fixed | {"batch_size": 8}), machine)
    assert 0 < once < 60
    assert 2 < larger / once < 6  # four times; the counted steps differ at random


def test_this_machine_has_cores() -> None:
    assert Machine.here().cpus >= 1
