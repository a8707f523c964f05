"""How long a study will take, from the operations of one training step."""

import math
from platform.execution.machine import Machine, concurrency
from platform.schedulers.asha import expected_share
from platform.schedulers.early_stopping import halving_of
from platform.study.settings import Resources
from platform.study.study import Study

from trainers.config import build
from trainers.cost import step_flops
from trainers.references.config import ReferenceConfig

CORE_FLOPS, GPU_FLOPS = 4.0e10, 2.0e13
"""Sustained rates assumed for small convolutions on one CPU core and for bf16 on one data-centre GPU."""


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
    """How long the trials will take, and ``retrainings`` of a confirmation, in words."""
    hours = estimated_seconds(study, machine, retrainings) / 3600
    text = f"estimated cost: about {hours:.2g} h on this machine, without cohort and references"
    if study.resources.gpus:
        gpu_hours = hours * study.resources.gpus * concurrency(study.resources, machine)
        text += f"; {gpu_hours:.2g} GPU-hours"
        if price := study.budget.cost_per_gpu_hour:
            text += f", a cost of {gpu_hours * price:.2g}"
    if retrainings:
        text += f"; with {retrainings} retrainings of the front"
    if study.levels:
        text += f"; early stopping saves about {100 * (1 - trained_share(study)):.0f} % of the training"
    return text


def trained_share(study: Study) -> float:
    """Expected share of the trials' full training that takes place under the scheduler."""
    return expected_share(halving_of(study, ()), max(study.steps))


def rate(resources: Resources) -> float:
    """Assumed floating-point operations per second of one trial."""
    return resources.gpus * GPU_FLOPS if resources.gpus else resources.cpus * CORE_FLOPS
