"""The teacher's check: a new study whose trials learn from one that linear filters beat is refused."""

from collections.abc import Iterator
from pathlib import Path
from platform.reporting.console import console
from platform.study.dimensions import Choice, point_at
from platform.study.study import METHOD, Study
from typing import Any

from trainers import weights
from trainers.config import build
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.references.config import ReferenceConfig

PLACES = (0.0, 0.5, 1.0)
"""Of the search's unit cube, where settings are tried; ``start_from`` is tried too."""


def require_teacher(study: Study, folder: Path, cohort: Cohort) -> None:
    """Print how good a teacher is that trials use; nothing where no validation subject has 3 T.

    Raises InputError for one that denoises held-out 3 T worse than a linear filter does.
    """
    config = build(ReferenceConfig, study.references)
    if not config.teacher_check or not uses_teacher(study):
        return
    from trainers.references import store, teacher_check  # late: they import torch

    figures = weights.read_manifest(folder / "teacher").get("denoising")
    if figures is None:  # trained before there was a check, or with teacher_check: false
        figures = teacher_check.check(store.References.open(folder).teacher, cohort, config)
    worst = teacher_check.worst(figures)
    if worst is None:
        return
    if worst.loses:
        key = f"{study.path}: references: teacher_steps: {config.teacher_steps}"
        reason = f"gives a teacher that denoises held-out 3 T worse than a linear filter ({worst})"
        raise InputError(f"{key} {reason}; allowed: more steps, or teacher_check: false")
    line = f"teacher: at most {worst.ratio:.3f} of the better linear filter's error ({worst})"
    console.print(line, markup=False)


def uses_teacher(study: Study) -> bool:
    """Whether any trial may depend on the teacher."""
    return any(study.point(params).uses_teacher for params in _points(study) if not study.refusal(params))


def _points(study: Study) -> Iterator[dict[str, Any]]:
    yield from study.start
    for method in study.methods:
        first = study.search[:1] if study.search and study.search[0].name == METHOD else ()
        chosen = [each.unit(method) for each in first if isinstance(each, Choice)]
        for place in PLACES:
            yield point_at(study.search, chosen + [place] * (len(study.search) - len(chosen)))
