"""A study's candidates on the test splits, opened once, beside validation.

What is evaluated is fixed before the test split is first opened: the confirmed candidates with all their
trainings, else the front's. Requested again, the same results are printed; other candidates are refused, as
a choice made with knowledge of the test results would be biased.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from platform.confirmation import test_report
from platform.confirmation.picks import Confirmation, pick
from platform.confirmation.ranking import interval_metrics
from platform.confirmation.retraining import FOLDER, Checkpoint, Retrainings, results
from platform.confirmation.run import StudyRun, prepare
from platform.confirmation.scoring import Places, Scoring, Tasks, baseline_intervals, evaluations
from platform.confirmation.test_report import SplitComparison
from platform.driver.lock import locked
from platform.execution.evaluation_tasks import evaluate_all, is_done
from platform.execution.machine import Machine, require_fit
from platform.pareto.front import CandidateKey, Front
from platform.pareto.selection import saved_front
from platform.reporting.console import console
from platform.reporting.panels import candidate_label
from platform.storage import movable
from platform.storage.layout import Storage
from platform.storage.saved_study import SavedStudy
from platform.study.study import Study
from platform.tracking import store

from trainers.data.store import SHIFTED, Cohort
from trainers.errors import InputError
from trainers.evaluate import Evaluation
from trainers.files import write_text
from trainers.places import mounts

REQUEST_FILE = "asked.json"

SPLITS = ("val", "test")
"""Those that every cohort has; some have ``shifted`` too."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What is evaluated: candidates, and their finished trainings."""

    keys: tuple[CandidateKey, ...]
    retrainings: Retrainings
    splits: tuple[str, ...] = SPLITS

    @classmethod
    def read(cls, folder: Path) -> "EvaluationRequest | None":
        """What the test split was opened for; None: it was not."""
        path = folder / "test" / REQUEST_FILE
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        checkpoints = tuple(
            Checkpoint(**{**c, "path": str(movable.found(folder, c["path"]))}) for c in values["trainings"]
        )
        diverged = {int(trial): int(n) for trial, n in values["diverged"]}
        keys = tuple((int(trial), int(steps)) for trial, steps in values["candidates"])
        return cls(keys, Retrainings(checkpoints, diverged, ()), tuple(values.get("splits", SPLITS)))

    def write(self, folder: Path) -> None:
        """Save what the test split is opened for."""
        trainings = [
            {**vars(checkpoint), "path": movable.kept(folder, Path(checkpoint.path))}
            for checkpoint in self.retrainings.checkpoints
        ]
        values = {"candidates": self.keys, "trainings": trainings, "splits": self.splits}
        diverged = sorted(self.retrainings.diverged.items())
        write_text(folder / "test" / REQUEST_FILE, json.dumps({**values, "diverged": diverged}, indent=1))


def run_test(
    saved: SavedStudy, storage: Storage, tracking_uri: str, option: str | None, address: str | None
) -> None:
    """Evaluate what is not done yet, and report; ``option``: of ``--pick``."""
    front, folder = saved_front(saved), saved.folder
    experiment = store.prepare_or_wait(tracking_uri, store.EXPERIMENT, storage.artifacts(tracking_uri))
    (folder / "test").mkdir(exist_ok=True)
    with locked(folder / "test"):  # two at a time could open the test split for two choices
        request = resolve(folder, saved.study, front, option)
        request = measure(saved, storage, request, address)
        report_test(saved, front, request, StudyRun(tracking_uri, experiment, saved.study.name))


def measure(
    saved: SavedStudy, storage: Storage, request: EvaluationRequest, address: str | None
) -> EvaluationRequest:
    """Evaluate what is not done yet; the request is saved, and returned, before a test split is opened."""
    study, folder = saved.study, saved.folder
    measures = saved.facts.measures
    if all(is_done(task) for task in all_tasks(request, Places(), folder, measures).values()):
        return request
    if not address:
        require_fit(study, Machine.here())
    places = prepare(saved, storage, address, tests=True)
    request = replace(request, splits=Cohort.open(places.cohort).evaluated)
    request.write(folder)
    evaluate_all(all_tasks(request, places, folder, measures), study.resources.gpus, console)
    return request


def resolve(folder: Path, study: Study, front: Front, option: str | None) -> EvaluationRequest:
    """What is evaluated; raises InputError for another pick after the test split was opened."""
    picked = None if option is None else pick(option, front, folder).key
    if (request := EvaluationRequest.read(folder)) is not None:
        if picked is not None and picked not in request.keys:
            allowed = ", ".join(f"{trial}/{steps}" for trial, steps in request.keys)
            reason = "is not allowed once the test split was opened for others"
            raise InputError(f"--pick: {picked[0]}/{picked[1]} {reason}; allowed: {allowed}")
        return request
    confirmation = Confirmation.read(folder)
    confirmed = [(f["trial"], f["steps"]) for f in confirmation.finalists]
    keys = [picked] if picked is not None else confirmed or [c.key for c in front.members]
    seeds = confirmation.seeds if set(keys) <= set(confirmed) else 0
    return EvaluationRequest(tuple(keys), results(folder, study, front, keys, seeds))


def each_split(request: EvaluationRequest, places: Places, folder: Path, measures: int) -> dict[str, Tasks]:
    """By split: the evaluations on validation, as the confirmation has them, and on the test splits."""
    folders = {"val": folder / FOLDER / "validation", "test": folder / "test" / "results"}
    return {
        split: evaluations(
            request.keys,
            request.retrainings,
            places,
            folders.get(split, folder / "test" / split),
            split,
            measures,
        )
        for split in request.splits
    }


def all_tasks(
    request: EvaluationRequest, places: Places, folder: Path, measures: int
) -> dict[str, Evaluation]:
    """The evaluations of :func:`each_split` together."""
    tasks = each_split(request, places, folder, measures)
    return {f"{split} {key}": task for split in tasks for key, task in tasks[split].items()}


def rows(
    study: Study, front: Front, request: EvaluationRequest, tasks: Mapping[str, Tasks]
) -> list[SplitComparison]:
    """Every candidate on each split, and the baselines."""
    objectives = study.objectives
    scorings = {
        split: Scoring.read(objectives, request.keys, request.retrainings, of_split)
        for split, of_split in tasks.items()
    }
    on = {split: scoring.intervals() for split, scoring in scorings.items()}
    own = scorings["test"].intervals(searched=True)
    values = {c.key: c.values for c in front.candidates}
    candidates = [
        SplitComparison(
            label=candidate_label(key),
            key=key,
            searched={o.name: values[key][o.name] for o in objectives},
            validation=on["val"][key],
            test=on["test"][key],
            own={name: interval.estimate for name, interval in own[key].items()},
            trainings=len(scorings["val"].seeds(key[0])),
            shifted=on[SHIFTED][key] if SHIFTED in on else {},
        )
        for key in request.keys
    ]
    known = {split: baseline_intervals(of_split, objectives) for split, of_split in tasks.items()}
    shifted = known.get(SHIFTED, {})
    baselines = [
        test_report.baseline(name, known["val"][name], after, shifted.get(name, {}))
        for name, after in known["test"].items()
        if name in known["val"]
    ]
    measured = {"validation" if split == "val" else split: s.measured for split, s in scorings.items()}
    return [replace(row, measured=measured) for row in (*candidates, *baselines)]


def report_test(saved: SavedStudy, front: Front, request: EvaluationRequest, run: StudyRun) -> None:
    """Write the report from what was published, record it in the study's own run, print it."""
    study, folder = saved.study, saved.folder
    tasks = each_split(request, Places(), folder, saved.facts.measures)
    compared = rows(study, front, request, tasks)
    report = folder / "test" / "report"
    report.mkdir(exist_ok=True)
    write_text(report / "table.md", test_report.markdown(compared, study.objectives))
    write_text(report / "test.json", json.dumps([row.to_json() for row in compared], indent=1))
    pictures = test_report.figure(compared, study.objectives, report)
    values: dict[str, float] = {}
    for row in compared:
        for split, intervals in (("test", row.test), (SHIFTED, row.shifted)):
            metrics = interval_metrics(row.place, intervals)
            values |= {f"{split}/{name}": value for name, value in metrics.items()}
    files = [report / "table.md", report / "test.json", *pictures]
    run.record(values, 0, files, "test", folder / "test" / "study")
    console.print(test_report.terminal(compared, study.objectives))
    console.print(f"report: {mounts.shown(report)}", markup=False)
