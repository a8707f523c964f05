"""For tests: fronts, trainings and finalists of two objectives, and saved studies."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from platform.confirmation.ranking import Finalist
from platform.confirmation.retraining import Checkpoint, Retrainings
from platform.confirmation.scoring import Scoring
from platform.pareto.front import Candidate, Front
from platform.stats.scores import Score
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import SavedStudy, StartFacts, save_new
from platform.storage.trials import TrialStatus
from platform.study.criteria import Bound, Criteria
from platform.study.settings import Objective
from platform.study.study import Study
from typing import Any

import numpy as np

from trainers.metrics.frechet import Interval
from trainers.report import Report

OBJECTIVES = (Objective("fid", "minimize"), Objective("psnr", "maximize"))
CORNER = {"fid": 10.0, "psnr": 0.0}


def front(
    *candidates: tuple[int, int, float, float], params: Mapping[str, Any] | None = None, **more: Any
) -> Front:
    """Candidates (trial, steps, FID, PSNR)."""
    made = [
        Candidate(trial, steps, {"fid": fid, "psnr": psnr}, dict(params or {}), f"/c/{trial}")
        for trial, steps, fid, psnr in candidates
    ]
    return Front(OBJECTIVES, CORNER, made, **more)


def checkpoints(*trainings: tuple[int, int]) -> tuple[Checkpoint, ...]:
    """Of (trial, seed); seed 0 is the search's."""
    return tuple(Checkpoint(trial, seed, f"/c/{trial}", seed == 0) for trial, seed in trainings)


def scoring(
    values: Mapping[tuple[int, int, int], tuple[float, float]], diverged: Mapping[int, int] | None = None
) -> Scoring:
    """Of FID and PSNR by (trial, seed, steps)."""
    keys = sorted({(trial, steps) for trial, _, steps in values})
    finished = checkpoints(*sorted({(trial, seed) for trial, seed, _ in values}))
    scores = {
        key: {"fid": Score(fid, (fid - 0.1, fid + 0.1)), "psnr": Score(psnr, (psnr - 1, psnr + 1), 4)}
        for key, (fid, psnr) in values.items()
    }
    lost = dict.fromkeys((trial for trial, _ in keys), 0) | dict(diverged or {})
    return Scoring(OBJECTIVES, keys, Retrainings(finished, lost, ()), scores)


def finalist(**changes: Any) -> Finalist:
    """Trial 3 at 2 steps, its interval of PSNR unknown."""
    values = {"fid": Interval(2.0, 1.5, 2.5), "psnr": Interval(20.0, np.nan, np.nan)}
    made = Finalist(3, 2, {"fid": 1.0, "psnr": 21.0}, values, {"fid": 2.0, "psnr": 20.0}, (1, 2), 0, 0.75, 1)
    return replace(made, **changes)


def save_study(
    root: Path, study: Study, *statuses: TrialStatus, bounds: tuple[Bound, ...] = ()
) -> SavedStudy:
    """A study whose trial n, of such a status, has FID 1 + n and PSNR 5 + n at one step, less at two."""
    folder = Storage.open(root).study(study.name)
    ledger = Ledger(folder)
    facts = StartFacts("sqlite:////nowhere.db", "c", 1)
    saved = save_new(folder, replace(study, objectives=OBJECTIVES), Criteria(CORNER, bounds), facts)
    for number, status in enumerate(statuses):
        ledger.proposed(number, {})
        scores = {1: {"fid": 1.0 + number, "psnr": 5.0 + number}, 2: {"fid": 8.0, "psnr": 1.0}}
        ledger.reported(number, Report(6, 6, scores, {}, 1.0, f"/c/{number}"))
        ledger.ended(number, status)
    ledger.close()
    return saved
