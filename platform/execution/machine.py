"""What trials can be placed on, and how many fit at a time."""

import os
from dataclasses import dataclass
from platform.study.settings import Resources
from platform.study.study import Study

from trainers.errors import InputError


@dataclass(frozen=True)
class Machine:
    """CPU cores and GPUs of a machine, or of a whole cluster."""

    cpus: int
    gpus: int

    @classmethod
    def here(cls) -> "Machine":
        """What this process may use."""
        import torch  # late: it takes a second

        return cls(len(os.sched_getaffinity(0)), torch.cuda.device_count())


def prefers_cluster(profile: str | None, address: str | None) -> bool:
    """Whether a space's default profile is the one for a cluster: one is named, or there is a GPU here.

    With a chosen ``profile`` nothing is looked up.
    """
    return profile is None and (bool(address) or Machine.here().gpus > 0)


def require_fit(study: Study, machine: Machine) -> None:
    """Raises InputError where one trial needs more than the whole machine has."""
    needed = study.resources
    for name, amount, available in (("cpus", needed.cpus, machine.cpus), ("gpus", needed.gpus, machine.gpus)):
        if amount > available:
            reason = f"{amount:g} is more than there are; allowed: at most {available}"
            raise InputError(f"{study.path}: resources: {name}: {reason}")


def concurrency(resources: Resources, *machines: Machine) -> int:
    """Trials at a time on the machines of a cluster: as many as set, at most as many as fit, at least one."""
    most = max(1, places(resources, *machines))
    return min(most, resources.concurrent) if resources.concurrent else most


def places(resources: Resources, *machines: Machine) -> int:
    """How many trials fit on the machines at a time."""
    return sum(_workers(resources, machine) for machine in machines) // resources.workers


def _workers(resources: Resources, machine: Machine) -> int:
    """Of a trial's workers, how many fit on a machine; none is spread over GPUs or machines."""
    fit = int(machine.cpus / (resources.cpus / resources.workers) + 1e-9)
    share = resources.gpus / resources.workers
    if share:
        fit = min(fit, machine.gpus * int(1 / share + 1e-9))
    return fit
