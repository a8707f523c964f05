"""The supervised bound of a study or a comparison, trained once per cohort and network."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from platform.cohorts.build import LOCK, print_waiting, train_parts
from platform.study.study import Study

from rich.console import Console

from trainers.bounds import store
from trainers.bounds.config import BoundConfig
from trainers.config import build
from trainers.cost import bound_of
from trainers.data.store import Cohort
from trainers.files import one_at_a_time
from trainers.metrics.names import VERSION
from trainers.references.config import ReferenceConfig


def bound_config(study: Study, measures: int = VERSION) -> BoundConfig | None:
    """The bound for the study's first point; None where it is switched off or has no such network.

    ``measures``: the version of the study's; with the first there was no bound.
    """
    if measures == 1:
        return None
    first = study.start[0] if study.start else {}
    return bound_of(study.method_of(first), study.point(first), build(ReferenceConfig, study.references))


def prepare_bound(
    config: BoundConfig | None, cohort_path: Path, root: Path, console: Console, splits: Collection[str]
) -> Path | None:
    """The bound's folder, what ``splits`` need of it trained by Ray tasks; None: this cohort has no bound.

    Raises InputError where a part is damaged.
    """
    cohort = Cohort.open(cohort_path)
    if config is None or not store.has_bound(cohort):
        return None
    folder, stages = store.bound_folder(root, cohort, config), store.stages(cohort, config, splits)
    if all(store.is_trained(folder, part) for parts in stages for part in parts):
        return folder
    train = partial(store.train_part, cohort_path, config, root)
    with one_at_a_time(folder / LOCK, print_waiting(console, "this bound")):
        for parts in stages:
            missing = [part for part in parts if not store.is_trained(folder, part)]
            totals = {part: store.steps(part, cohort, config, folder) for part in missing}
            train_parts("bound", totals, train, folder, len(parts), console)
    return folder
