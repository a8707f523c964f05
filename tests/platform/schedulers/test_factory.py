"""Which scheduler a study has."""

from collections.abc import Callable
from platform.schedulers.asha import Halving
from platform.schedulers.factory import SCHEDULERS, make_scheduler
from platform.study.settings import Scheduler, SchedulerName
from platform.study.study import Study
from typing import get_args

import pytest


@pytest.mark.parametrize("name", get_args(SchedulerName))
def test_every_scheduler_is_made_with_the_studys_settings(
    toy: Callable[..., Study], name: SchedulerName
) -> None:
    settings = Scheduler(name=name, grace=3, reduction=4, brackets=2, min_results=7)
    study = toy(scheduler=settings, fixed={"steps": 60, "limit": 2.0}, search=())
    made = make_scheduler(study, [1.0, 2.0])
    assert isinstance(made, Halving) and made.reference.tolist() == [1.0, 2.0]
    assert made.levels == study.levels == ((3, 12, 48) if name == "asha" else ())
    assert (made.trials, made.reduction, made.brackets, made.min_results) == (6, 4, 2, 7)
    assert SCHEDULERS.keys() == set(get_args(SchedulerName))
