"""What fits on a machine, by hand computation."""

from collections.abc import Callable
from platform.execution.machine import Machine, concurrency, prefers_cluster, require_fit
from platform.study.settings import Resources
from platform.study.study import Study

import pytest

from trainers.errors import InputError


@pytest.mark.parametrize(
    ("resources", "machine", "expected"),
    [
        (Resources(cpus=1), Machine(2, 0), 2),
        (Resources(cpus=2), Machine(7, 0), 3),
        (Resources(cpus=4), Machine(2, 0), 1),  # at least one; require_fit refuses it
        (Resources(cpus=1, concurrent=3), Machine(8, 0), 3),
        (Resources(cpus=1, concurrent=30), Machine(8, 0), 8),
        (Resources(cpus=1, gpus=0.5), Machine(16, 2), 4),
        (Resources(cpus=1, gpus=0.1), Machine(16, 1), 10),
        (Resources(cpus=1, gpus=0.3), Machine(16, 1), 3),
        (Resources(cpus=8, gpus=0.25), Machine(16, 4), 2),
        (Resources(cpus=8, gpus=4, workers=4), Machine(64, 8), 2),
        (Resources(cpus=1, gpus=0.4), Machine(16, 2), 4),  # a share is of one GPU
        (Resources(cpus=8, gpus=0), Machine(10, 0), 1),
    ],
)
def test_trials_at_a_time_are_as_many_as_fit(resources: Resources, machine: Machine, expected: int) -> None:
    assert concurrency(resources, machine) == expected


def test_no_worker_is_spread_over_machines() -> None:
    assert concurrency(Resources(cpus=8), *[Machine(10, 0)] * 3) == 3
    assert concurrency(Resources(cpus=1, gpus=0.6), *[Machine(8, 1)] * 5, Machine(64, 0)) == 5
    several = Resources(cpus=8, gpus=4, workers=4)
    assert concurrency(several, *[Machine(16, 2)] * 5) == 2, "of 10 GPUs 8 are used"
    assert concurrency(several) == 1


def test_a_trial_larger_than_the_machine_is_refused(toy: Callable[..., Study]) -> None:
    require_fit(toy(resources=Resources(cpus=4, gpus=1)), Machine(4, 1))
    for resources, machine, key, allowed in (
        (Resources(cpus=5), Machine(4, 1), "cpus: 5", 4),
        (Resources(cpus=1, gpus=0.5), Machine(4, 0), "gpus: 0.5", 0),
    ):
        with pytest.raises(InputError) as error:
            require_fit(toy(resources=resources), machine)
        line = f"toy.yaml: resources: {key} is more than there are; allowed: at most {allowed}"
        assert str(error.value) == line


@pytest.mark.parametrize(
    ("gpus", "profile", "address", "expected"),
    [
        (0, None, None, False),
        (1, None, None, True),
        (0, None, "ray://head:10001", True),
        (1, "laptop", "ray://head:10001", False),
    ],
)
def test_a_gpu_or_a_cluster_decides_the_default_profile(
    gpus: int, profile: str | None, address: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Machine.here().cpus >= 1
    monkeypatch.setattr(Machine, "here", lambda: Machine(8, gpus))
    assert prefers_cluster(profile, address) == expected
