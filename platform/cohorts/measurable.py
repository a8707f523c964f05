"""Whether a split of a cohort has the measures that a study needs; what it lacks is refused in one line.

First what the scans alone decide, before any reference is trained; then what only a judge knows.
"""

from collections.abc import Collection, Mapping
from platform.study.study import Study

import torch

from trainers.config import build
from trainers.data.channels import Layout, contrasts
from trainers.data.store import DOMAINS, SHIFTED, Cohort, Split
from trainers.errors import InputError
from trainers.metrics import lesions
from trainers.metrics.judge import Judge, extrapolation_refusal, require_overlap
from trainers.metrics.measures import LESIONS
from trainers.metrics.names import score_names, value_range
from trainers.metrics.realism import PATCHES, patch_pool
from trainers.references.config import ReferenceConfig

SPLITS = {"val": "validation", "test": "test", SHIFTED: "shifted test"}
"""Those that are scored, with their names in messages."""


def require_measurable(study: Study, cohort: Cohort, split: str, metrics: Mapping[str, str]) -> None:
    """Raises InputError for a metric that needs what the scans of a split do not have.

    So for a paired subject whose masks do not overlap. ``metrics``: names, each with the section of the space
    that requests it.
    """
    rows, config = cohort.split(split), build(ReferenceConfig, study.references)
    paired = len(rows.mask("3T")) > 0
    radiology = bool(config.radimagenet) or "rad_fid" in metrics  # else prepare_references refuses it
    known = {*score_names(contrasts(config.channels), paired, radiology), "seconds_per_volume"}
    for name, section in metrics.items():
        if name not in known:
            other = f"is of a contrast that references: channels: {config.channels} does not have"
            unpaired = f"needs paired {SPLITS[split]} subjects, which this cohort does not have"
            key = f"{study.path}: {section}: {name}"
            raise InputError(f"{key} {other if paired else unpaired}; allowed: {', '.join(sorted(known))}")
        if refusal := _refusal(name, cohort, rows, config.channels):
            raise InputError(f"{study.path}: {section}: {refusal}")
    if paired:
        low, high = (torch.tensor(rows.mask(field)) > 0 for field in DOMAINS)
        require_overlap(low & high, rows)


def require_evaluable(study: Study, cohort: Cohort, splits: Collection[str]) -> None:
    """Raises InputError where one of the splits lacks what the study's candidates are compared by.

    These are its objectives and, on validation, where candidates are ranked, its constraints.
    """
    objectives = {objective.name: "objectives" for objective in study.objectives}
    for split in splits:
        require_measurable(study, cohort, split, study.metrics if split == "val" else objectives)


def require_measured(study: Study, judge: Judge, metrics: Mapping[str, str]) -> None:
    """Raises InputError for a metric for which the cohort and its references are too small.

    ``metrics`` as in :func:`require_measurable`.
    """
    for name, section in metrics.items():
        if refusal := judge.refusal(name):
            raise InputError(f"{study.path}: {section}: {refusal}")


def require_improvable(study: Study, baselines: Mapping[str, Mapping[str, float]]) -> None:
    """Raises InputError for an objective that the untouched input already has at its best, or at the floor.

    It would be the same for every good translator: so for scans of one field under both names.
    """
    floor = baselines.get("floor", {})
    for objective in study.objectives:
        value = baselines["input"].get(objective.name)
        best = value_range(objective.name)[objective.direction == "maximize"]
        if value is not None and value in (best, floor.get(objective.name)):
            key = f"{study.path}: objectives: {objective.name}"
            reason = (
                f"is {value:g} for the untouched input, as for the 3 T itself: it cannot tell trials apart"
            )
            allowed = "allowed: other objectives, or scans of 64 mT that differ from those of 3 T"
            raise InputError(f"{key} {reason}; {allowed}")


def _refusal(name: str, cohort: Cohort, rows: Split, layout: Layout) -> InputError | None:
    """Why the scans alone, without references, do not allow a measure; as :meth:`Judge.refusal` has it."""
    if name == "fid_infinity":
        return extrapolation_refusal(rows.name, len(rows.subjects("64mT")))
    try:
        if name in LESIONS:
            lesions.read(cohort, rows.name)
    except InputError as error:
        return error
    pool = patch_pool(cohort, layout) if name in PATCHES else None
    return pool if isinstance(pool, InputError) else None
