"""A confirmation: retrain the front's best candidates with new seeds, rank and report them.

Everything lies in ``<study>/confirm`` with a ledger of its own: more seeds or a larger ``top`` only add.
Candidates are ranked on validation subjects; the test split is not opened.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.cohorts.bound import bound_config, prepare_bound
from platform.cohorts.build import prepare_cohort, prepare_references
from platform.cohorts.measurable import require_evaluable
from platform.confirmation import seed_report
from platform.confirmation.picks import CONFIRMED
from platform.confirmation.ranking import optimism, rank, ranking_metrics
from platform.confirmation.retraining import FOLDER, Retrainings, results, trainings
from platform.confirmation.scoring import Places, Scoring, baseline_intervals, evaluations
from platform.execution import cluster
from platform.execution.evaluation_tasks import evaluate_all
from platform.execution.fixed_trials import FixedTrials, trained
from platform.execution.session import FLUSH_SECONDS, report_unsent
from platform.execution.trial_source import TrialPaths
from platform.pareto.front import CandidateKey, Front
from platform.pareto.selection import choose, saved_front
from platform.reporting.console import console
from platform.reporting.panels import plotted
from platform.stats.scores import interval_to_json
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import SavedStudy, load_saved
from platform.study.settings import Recovery
from platform.tracking import store
from platform.tracking.provenance import environment
from platform.tracking.recorder import Recorder

from trainers.data.store import Cohort
from trainers.files import write_text
from trainers.references.store import References

REQUEST_FILE = "finalists.json"


@dataclass(frozen=True)
class ConfirmationRequest:
    """The candidates, and the new seeds of each."""

    keys: tuple[CandidateKey, ...] = ()
    seeds: int = 0

    @classmethod
    def read(cls, folder: Path) -> "ConfirmationRequest":
        """All that was requested so far for the study in ``folder``."""
        path = folder / FOLDER / REQUEST_FILE
        if not path.exists():
            return cls()
        values = json.loads(path.read_text())
        return cls(tuple((int(trial), int(steps)) for trial, steps in values["candidates"]), values["seeds"])

    def write(self, folder: Path) -> None:
        """Save it for the study in ``folder``."""
        values = {"candidates": self.keys, "seeds": self.seeds}
        write_text(folder / FOLDER / REQUEST_FILE, json.dumps(values))


@dataclass(frozen=True)
class StudyRun:
    """The MLflow run of a study."""

    uri: str
    experiment: str
    study: str

    def record(
        self, values: Mapping[str, float], step: int, files: Sequence[Path], place: str, folder: Path
    ) -> None:
        """Add values, and files under ``place``; what MLflow does not accept waits in ``folder``."""
        recorder = Recorder(self.uri, self.experiment, self.study, folder, Recovery().patience)
        recorder.study_metrics(values, step)
        for file in files:
            recorder.study_artifact(file, place)
        report_unsent(recorder.close(None, FLUSH_SECONDS), folder)


def run_confirmation(
    storage: Storage, name: str, tracking_uri: str, top: int, seeds: int, address: str | None, hint: str
) -> None:
    """Retrain, rank, report; on a Ray that runs already, else one that is started here or joined.

    ``hint``: how to resume after an interruption.
    """
    saved = load_saved(storage.existing(name))
    study, folder, front = saved.study, saved.folder, saved_front(saved)
    experiment = store.prepare_or_wait(tracking_uri, store.EXPERIMENT, storage.artifacts(tracking_uri))
    recovery, own = study.recovery, folder / FOLDER
    ledger = Ledger(own, recovery.patience)
    earlier = ConfirmationRequest.read(folder)
    keys = tuple(choose(front, top, earlier.keys))
    request = ConfirmationRequest(keys, max(seeds, earlier.seeds))
    request.write(folder)
    places = prepare(saved, storage, address)
    recorder = Recorder(tracking_uri, experiment, f"confirmation {name}", own, recovery.patience)
    recorder.study({}, {"confirms": name, "candidates": json.dumps(keys), **environment(study)})
    requested = trainings(study, front, keys, request.seeds)
    measures = saved.facts.measures
    paths = TrialPaths(own, places.cohort, places.references, measures, recovery=recovery)
    trials = FixedTrials(requested, study.resources, paths, recorder, ledger)
    with trained(trials, hint):
        retrainings = results(folder, study, front, keys, request.seeds)
        run = StudyRun(tracking_uri, experiment, study.name)
        report_confirmation(saved, front, request, retrainings, trials, places, run)


def prepare(saved: SavedStudy, storage: Storage, address: str | None, tests: bool = False) -> Places:
    """The study's own cohort, references and bound on a running Ray, for evaluations on validation.

    ``tests``: also for those on the test splits. Damaged scans, and splits that lack what candidates are
    compared by, are refused before anything is trained.
    """
    study, measures = saved.study, saved.facts.measures
    cluster.ensure_ray(address, study.resources)
    path = prepare_cohort(study.cohort, storage.root, console, saved.facts.cohort)
    cohort = Cohort.open(path)
    splits = cohort.evaluated if tests else ("val",)
    require_evaluable(study, cohort, splits)
    for split in splits[1:]:
        cohort.verify(split)
    references = prepare_references(study, path, storage.root, console, measures)
    References.open(references)
    bound = prepare_bound(bound_config(study, measures), path, storage.root, console, splits)
    return Places(path, references, bound)


def report_confirmation(
    saved: SavedStudy,
    front: Front,
    request: ConfirmationRequest,
    retrainings: Retrainings,
    trials: FixedTrials,
    places: Places,
    run: StudyRun,
) -> None:
    """Rank on validation, write the report, record it in the study's own run, print it."""
    study, folder, paths = saved.study, trials.folder, trials.paths
    tasks = evaluations(request.keys, retrainings, places, folder / "validation", "val", paths.measures)
    evaluate_all({str(key): task for key, task in tasks.items()}, trials.resources.gpus, console)
    scoring = Scoring.read(study.objectives, request.keys, retrainings, tasks)
    finalists, measured = rank(scoring, front), scoring.measured
    baselines = baseline_intervals(tasks, study.objectives)
    report = saved.folder / CONFIRMED.parent
    report.mkdir(exist_ok=True)
    summary = {"finalists": [f.to_json() for f in finalists], "seeds": request.seeds}
    summary |= {"reference_point": dict(front.reference)}
    summary |= {"optimism": optimism(finalists, study.objectives), "failed": list(retrainings.failed)}
    summary |= {"measured": measured}
    untouched = baselines.get("input", {})
    summary |= {"input": {name: interval_to_json(interval) for name, interval in untouched.items()}}
    write_text(report / "table.md", seed_report.markdown(finalists, study.objectives, baselines, measured))
    write_text(saved.folder / CONFIRMED, json.dumps(summary, indent=1))
    baseline = {name: interval.estimate for name, interval in untouched.items()}
    pictures = seed_report.figure(
        finalists, study.objectives, plotted(front), baseline, report / CONFIRMED.stem
    )
    files = [report / "table.md", saved.folder / CONFIRMED, *pictures]
    # A step that grows with every added training, so that MLflow shows the newest values:
    count = len(tasks) + sum(retrainings.diverged.values())
    for file in files:
        trials.recorder.study_artifact(file, "report")
    values = ranking_metrics(finalists)
    trials.recorder.study_metrics(values, count)
    run.record(values, count, files, "confirm", folder / "study")
    console.print(seed_report.terminal(finalists, study.objectives, baselines, measured))
    console.print(seed_report.closing(finalists, study.objectives, retrainings, report), markup=False)
