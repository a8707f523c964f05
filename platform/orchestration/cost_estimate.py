"""What must be true before hours are spent, and what the study will cost."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from platform.schedulers.asha import expected_share
from platform.schedulers.early_stopping import halving_of
from platform.study.study import Resources, Study
from typing import Any

import torch

from trainers.config import build
from trainers.cost import step_flops
from trainers.data.channels import contrasts
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.metrics.names import score_names
from trainers.references.config import ReferenceConfig

CORE_FLOPS, GPU_FLOPS = 4.0e10, 2.0e13
"""Sustained rates assumed for small convolutions on one CPU core and for bf16 on one data-centre GPU."""
SPLITS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Machine:
    """What trials can be placed on."""

    cpus: int
    gpus: int

    @classmethod
    def here(cls) -> "Machine":
        """What the process may use."""
        return cls(len(os.sched_getaffinity(0)), torch.cuda.device_count())


def choose_profile(machine: Machine, profiles: tuple[str, ...], address: str | None) -> str | None:
    """``cluster`` where there is a GPU or a cluster's address, else ``laptop``, if the space has that."""
    wanted = "cluster" if machine.gpus or address else "laptop"
    return wanted if wanted in profiles else None


def require_fit(study: Study, machine: Machine) -> None:
    """Raises InputError where one trial asks for more than the whole machine has."""
    asked = study.resources
    for name, wanted, there in (("cpus", asked.cpus, machine.cpus), ("gpus", asked.gpus, machine.gpus)):
        if wanted > there:
            most = f"{wanted:g} is more than there are; allowed: at most {there}"
            raise InputError(f"{study.path}: resources: {name}: {most}")


def require_same_crop(study: Study) -> None:
    """Raises InputError where trials would show the teacher crops of another size than its own."""
    taught: int = build(ReferenceConfig, study.references).crop
    searched: list[Any] = [str(dimension) for dimension in study.search if dimension.name == "crop"]
    defaults = [field.default for config in study.configs for field in fields(config) if field.name == "crop"]
    for crop in searched or [study.fixed.get("crop", default) for default in defaults]:
        if crop != taught:
            told = f"{study.path}: crop: {crop} is not allowed"
            raise InputError(f"{told}; allowed: {taught}, the references' crop")


def require_measurable(study: Study, cohort: Cohort, split: str, metrics: Mapping[str, str]) -> None:
    """Raises InputError for a metric that needs what the subjects of a split have not.

    ``metrics``: names, each with the section of the space that asks for it.
    """
    config, paired = build(ReferenceConfig, study.references), len(cohort.split(split).mask("3T")) > 0
    known = {*score_names(contrasts(config.channels), paired), "seconds_per_volume"}
    for name, section in metrics.items():
        if name not in known:
            other = f"is of a contrast that references: channels: {config.channels} has not"
            reason = other if paired else f"needs paired {SPLITS[split]} subjects, which this cohort has not"
            told = f"{study.path}: {section}: {name} {reason}"
            raise InputError(f"{told}; allowed: {', '.join(sorted(known))}")


def estimated_seconds(study: Study, machine: Machine, retrainings: int = 0) -> float:
    """Wall-clock estimate of the trials, then of full ``retrainings``.

    From the operations of a training step at the first point.
    """
    first = study.start[0] if study.start else {}
    config, references = study.point(first), build(ReferenceConfig, study.references)
    operations = step_flops(study.method_of(first), config, references)
    work: float = operations * config.steps * study.resources.workers
    at_once = concurrency(study.resources, machine)
    waves = math.ceil(study.budget.trials / at_once) * trained_share(study) + math.ceil(retrainings / at_once)
    return work / rate(study.resources) * waves


def estimate(study: Study, machine: Machine, retrainings: int = 0) -> str:
    """What the trials will take, and ``retrainings`` of a confirmation, in words."""
    hours = estimated_seconds(study, machine, retrainings) / 3600
    told = f"estimated cost: about {hours:.2g} h on this machine, cohort and references apart"
    if study.resources.gpus:
        gpu_hours = hours * study.resources.gpus * concurrency(study.resources, machine)
        told += f"; {gpu_hours:.2g} GPU-hours"
        if price := study.budget.cost_per_gpu_hour:
            told += f", a cost of {gpu_hours * price:.2g}"
    if retrainings:
        told += f"; with {retrainings} retrainings of the front"
    if study.levels:
        told += f"; early stopping spares about {100 * (1 - trained_share(study)):.0f} % of the training"
    return told


def trained_share(study: Study) -> float:
    """Share of its trials' training that the scheduler is expected to let happen."""
    return expected_share(halving_of(study, ()), max(study.steps))


def rate(resources: Resources) -> float:
    """Assumed floating-point operations per second of one trial."""
    return resources.gpus * GPU_FLOPS if resources.gpus else resources.cpus * CORE_FLOPS


def concurrency(resources: Resources, machine: Machine) -> int:
    """Trials at a time on a machine: as asked for, at most as many as fit."""
    fit = machine.cpus / resources.cpus
    if resources.gpus:
        fit = min(fit, machine.gpus / resources.gpus)
    most = max(1, int(fit + 1e-9))
    return min(most, resources.concurrent) if resources.concurrent else most
