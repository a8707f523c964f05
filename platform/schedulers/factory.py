"""Schedulers by name."""

from collections.abc import Mapping, Sequence
from platform.schedulers.asha import Halving
from platform.schedulers.base import RungScheduler
from platform.study.study import Study

import numpy as np

SCHEDULERS: Mapping[str, type[RungScheduler]] = {
    "none": Halving,  # of no levels: every trial continues
    "asha": Halving,
}


def make_scheduler(study: Study, reference: Sequence[float]) -> RungScheduler:
    """A study's scheduler before its first trial; ``reference`` [m] is minimised."""
    settings = study.scheduler
    return SCHEDULERS[settings.name](
        *(study.levels, study.budget.trials, np.array(reference)),
        *(settings.reduction, settings.brackets, settings.least_results),
    )
