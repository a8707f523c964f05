"""A study's candidates on the test split, opened once, beside validation.

What is evaluated is fixed before the test split is first opened: the confirmed candidates with all their
trainings, else the front's. Requested again, the same results are printed; other candidates are refused, as
a choice made with knowledge of the test results would be biased.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from platform.cohorts.build import require_measurable
from platform.confirmation import test_report
from platform.confirmation.picks import Confirmation, pick
from platform.confirmation.ranking import interval_metrics
from platform.confirmation.retraining import FOLDER, Checkpoint, Retrainings, results
from platform.confirmation.run import StudyRun, prepare
from platform.confirmation.scoring import Scoring, Tasks, baseline_intervals, evaluations
from platform.confirmation.test_report import SplitComparison
from platform.execution.evaluation_tasks import evaluate_all, is_done
from platform.execution.machine import Machine, require_fit
from platform.pareto.front import CandidateKey, Front
from platform.pareto.selection import saved_front
from platform.reporting.console import console
from platform.reporting.panels import candidate_label
from platform.storage.layout import Storage
from platform.storage.ledger import locked
from platform.storage.saved_study import SavedStudy
from platform.study.study import Study
from platform.tracking import store

from trainers.data.store import Cohort
from trainers.data.writer import folder as cohort_folder
from trainers.errors import InputError
from trainers.evaluate import Evaluation
from trainers.files import write_text

REQUEST_FILE = "asked.json"

SPLITS = ("val", "test")


@dataclass(frozen=True)
class EvaluationRequest:
    """What is evaluated: candidates, and their finished trainings."""

    keys: tuple[CandidateKey, ...]
    retrainings: Retrainings

    @classmethod
    def read(cls, folder: Path) -> "EvaluationRequest | None":
        """What the test split was opened for; None: it was not."""
        path = folder / "test" / REQUEST_FILE
        if not path.exists():
            return None
        values = json.loads(path.read_text())
        checkpoints = tuple(Checkpoint(**c) for c in values["trainings"])
        diverged = {int(trial): int(n) for trial, n in values["diverged"]}
        keys = tuple((int(trial), int(steps)) for trial, steps in values["candidates"])
        return cls(keys, Retrainings(checkpoints, diverged, ()))

    def write(self, folder: Path) -> None:
        """Save what the test split is opened for."""
        values = {"candidates": self.keys, "trainings": [vars(c) for c in self.retrainings.checkpoints]}
        diverged = sorted(self.retrainings.diverged.items())
        write_text(folder / "test" / REQUEST_FILE, json.dumps({**values, "diverged": diverged}, indent=1))


def run_test(
    saved: SavedStudy, storage: Storage, tracking_uri: str, option: str | None, address: str | None
) -> None:
    """Evaluate what is not done yet, and report; ``option``: of ``--pick``."""
    front, folder = saved_front(saved), saved.folder
    experiment = store.prepare(tracking_uri, store.EXPERIMENT, storage.artifacts)
    (folder / "test").mkdir(exist_ok=True)
    with locked(folder / "test"):  # two at a time could open the test split for two choices
        request = resolve(folder, saved.study, front, option)
        measure(saved, storage, request, address)
        report_test(saved, front, request, StudyRun(tracking_uri, experiment, saved.study.name))


def measure(saved: SavedStudy, storage: Storage, request: EvaluationRequest, address: str | None) -> None:
    """Evaluate what is not done yet; the request is saved before the test split is opened."""
    study, folder = saved.study, saved.folder
    places = cohort_folder(storage.root, saved.facts.cohort), Path()
    measures = saved.facts.measures
    if all(is_done(task) for task in all_tasks(request, places, folder, measures).values()):
        return
    if not address:
        require_fit(study, Machine.here())
    places = prepare(saved, storage, address)
    cohort = Cohort.open(places[0])
    require_measurable(study, cohort, "test", {o.name: "objectives" for o in study.objectives})
    cohort.verify("test")
    request.write(folder)
    evaluate_all(all_tasks(request, places, folder, measures), study.resources.gpus, console)


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


def both_splits(
    request: EvaluationRequest, places: tuple[Path, Path], folder: Path, measures: int
) -> dict[str, Tasks]:
    """By split: the evaluations on validation, as the confirmation has them, and on the test split."""
    folders = folder / FOLDER / "validation", folder / "test" / "results"
    return {
        split: evaluations(request.keys, request.retrainings, places, results_folder, split, measures)
        for split, results_folder in zip(SPLITS, folders, strict=True)
    }


def all_tasks(
    request: EvaluationRequest, places: tuple[Path, Path], folder: Path, measures: int
) -> dict[str, Evaluation]:
    """The evaluations of :func:`both_splits` together."""
    tasks = both_splits(request, places, folder, measures)
    return {f"{split} {key}": task for split in SPLITS for key, task in tasks[split].items()}


def rows(
    study: Study, front: Front, request: EvaluationRequest, tasks: Mapping[str, Tasks]
) -> list[SplitComparison]:
    """Every candidate on both splits, and the baselines."""
    objectives = study.objectives
    val, test = (Scoring.read(objectives, request.keys, request.retrainings, tasks[s]) for s in SPLITS)
    on_val, on_test, own = val.intervals(), test.intervals(), test.intervals(searched=True)
    values = {c.key: c.values for c in front.candidates}
    candidates = [
        SplitComparison(
            label=candidate_label(key),
            key=key,
            searched={o.name: values[key][o.name] for o in objectives},
            validation=on_val[key],
            test=on_test[key],
            own={name: interval.estimate for name, interval in own[key].items()},
            trainings=len(val.seeds(key[0])),
        )
        for key in request.keys
    ]
    before, after = (baseline_intervals(tasks[split], objectives) for split in SPLITS)
    baselines = [test_report.baseline(name, before[name], after[name]) for name in after if name in before]
    return [*candidates, *baselines]


def report_test(saved: SavedStudy, front: Front, request: EvaluationRequest, run: StudyRun) -> None:
    """Write the report from what was published, record it in the study's own run, print it."""
    study, folder = saved.study, saved.folder
    tasks = both_splits(request, (Path(), Path()), folder, saved.facts.measures)
    compared = rows(study, front, request, tasks)
    report = folder / "test" / "report"
    report.mkdir(exist_ok=True)
    write_text(report / "table.md", test_report.markdown(compared, study.objectives))
    write_text(report / "test.json", json.dumps([row.to_json() for row in compared], indent=1))
    pictures = test_report.figure(compared, study.objectives, report)
    values: dict[str, float] = {}
    for row in compared:
        metrics = interval_metrics(row.place, row.test)
        values |= {f"test/{name}": value for name, value in metrics.items()}
    files = [report / "table.md", report / "test.json", *pictures]
    run.record(values, 0, files, "test", folder / "test" / "study")
    console.print(test_report.terminal(compared, study.objectives))
    console.print(f"report: {report}", markup=False)
