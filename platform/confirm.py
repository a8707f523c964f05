"""``python -m platform.confirm STUDY``: retrain the front's candidates with new seeds and say how sure it is.

Everything lies in ``<study>/confirm`` with a ledger of its own: started again it goes on where it was, and
more seeds or a larger ``--top`` only add. Judged is on validation subjects; the test split is not opened.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from platform import cli
from platform.cli import console
from platform.cohorts import build
from platform.confirmation import seed_report
from platform.confirmation.ranking import (
    Finalist,
    Scoring,
    SeedKey,
    confirm,
    flat,
    measured,
    optimism,
    plain,
    single,
)
from platform.confirmation.retraining import FOLDER, Outcome, entries, outcome
from platform.execution.evaluation_tasks import evaluate_all
from platform.execution.fixed_trials import Roster, trained
from platform.execution.session import FLUSH_SECONDS
from platform.orchestration import cost_estimate
from platform.orchestration.report import report_points
from platform.orchestration.summary import environment
from platform.pareto.front import Front
from platform.pareto.selection import Key, choose, saved_front
from platform.promote import CONFIRMED
from platform.storage.layout import Storage
from platform.storage.ledger import Ledger
from platform.storage.saved_study import load_saved
from platform.study.study import Study
from platform.tracking import store
from platform.tracking.recorder import Recorder
from typing import Any

from trainers import weights
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.evaluate import Evaluation
from trainers.files import write_text
from trainers.references.store import References

TERMS = "finalists.json"
UNTOUCHED = "input"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("confirm", __doc__)
    parser.add_argument("study", help="the study's name")
    parser.add_argument("--top", type=int, default=3, help="trials of the front to retrain (default: 3)")
    parser.add_argument("--seeds", type=int, default=2, help="new seeds for each (default: 2)")
    cli.add_places(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options, machine = arguments(argv), cost_estimate.Machine.here()
    require_counts(top=options.top, seeds=options.seeds)
    storage = Storage.open(options.storage)
    study, saved = load_saved(storage.existing(options.study))
    saved_front(storage.study(study.name), study, saved)
    if not options.address:
        cost_estimate.require_fit(study, machine)
    uri = options.tracking or saved["tracking"]
    run(storage, study.name, uri, options.top, options.seeds, options.address)


def require_counts(**counts: int) -> None:
    """Raises InputError for an option's number that asks for nothing."""
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"--{name}: {value} is not allowed; allowed: 1 or more")


def run(storage: Storage, name: str, tracking_uri: str, top: int, seeds: int, address: str | None) -> None:
    """Retrain, judge, report; on a Ray that runs already, else one that is started here or joined."""
    study, saved = load_saved(storage.existing(name))
    folder = storage.study(name)
    front = saved_front(folder, study, saved)
    experiment = store.prepare(tracking_uri, store.EXPERIMENT, storage.artifacts)
    ledger = Ledger(folder / FOLDER)
    begun = read_terms(folder)
    keys, seeds = choose(front, top, begun[0]), max(seeds, begun[1])
    write_text(folder / FOLDER / TERMS, json.dumps({"candidates": keys, "seeds": seeds}))
    cohort, references = prepare(study, saved, storage, address)
    recorder = Recorder(tracking_uri, experiment, f"confirmation {name}", folder / FOLDER)
    recorder.study({}, {"confirms": name, "candidates": json.dumps(keys), **environment(study)})
    asked = entries(study, front, keys, seeds)
    roster = Roster(asked, folder / FOLDER, cohort, references, recorder, ledger)
    again: dict[str, object] = {"top": top, "seeds": seeds, "storage": storage.root, "address": address}
    again["tracking"] = store.given(tracking_uri, saved["tracking"])
    cure = f"to go on: python -m platform.confirm {name} {cli.options(again)}"
    with trained(roster, cure):
        found = outcome(folder, study, front, keys, seeds)
        publish(study, front, (keys, seeds), found, roster, (tracking_uri, experiment))


def prepare(
    study: Study, saved: Mapping[str, Any], storage: Storage, address: str | None
) -> tuple[Path, Path]:
    """The study's own cohort and references on a running Ray, damaged ones told before hours are spent."""
    from platform.execution import (
        tuner,  # late: importing Ray takes seconds, that a wrong input need not wait
    )

    import ray

    if not ray.is_initialized():
        tuner.start_ray(address, study.resources)
    cohort = build.prepare_cohort(study.cohort, storage.root, console, saved["cohort"])
    references = build.prepare_references(study, cohort, storage.root, console)
    Cohort.open(cohort), References.open(references)
    return cohort, references


def read_terms(folder: Path) -> tuple[list[Key], int]:
    """The candidates and the number of new seeds that a study's confirmation was asked for so far."""
    path = folder / FOLDER / TERMS
    if not path.exists():
        return [], 0
    kept = json.loads(path.read_text())
    return [(int(trial), int(steps)) for trial, steps in kept["candidates"]], int(kept["seeds"])


def evaluations(
    keys: Sequence[Key], found: Outcome, places: tuple[Path, Path], folder: Path, split: str
) -> dict[SeedKey | str, Evaluation]:
    """Every finished training at the step counts asked for, and the untouched input, on one split.

    ``places``: cohort and references. The results are kept in ``folder``.
    """
    tasks: dict[SeedKey | str, Evaluation] = {
        UNTOUCHED: Evaluation("input", 1, *places, folder / UNTOUCHED, split)
    }
    for checkpoint in found.checkpoints:
        for steps in (steps for trial, steps in keys if trial == checkpoint.trial):
            named = folder / f"trial-{checkpoint.trial:05d}-seed-{checkpoint.seed}-steps-{steps}"
            key = checkpoint.trial, checkpoint.seed, steps
            tasks[key] = Evaluation(checkpoint.path, steps, *places, named, split)
    return tasks


def scored(
    study: Study, keys: Sequence[Key], found: Outcome, tasks: Mapping[SeedKey | str, Evaluation]
) -> Scoring:
    """What the evaluations published."""
    scores = {
        key: measured(weights.verify(task.folder)) for key, task in tasks.items() if isinstance(key, tuple)
    }
    return Scoring(study.objectives, keys, found, scores)


def publish(
    study: Study,
    front: Front,
    asked: tuple[Sequence[Key], int],
    found: Outcome,
    roster: Roster,
    target: tuple[str, str],
) -> None:
    """Judge on validation, write the report, record it in the study's own run, print it.

    ``asked``: the candidates, and how many new seeds of each.
    """
    folder, (keys, seeds) = roster.folder, asked
    tasks = evaluations(keys, found, (roster.cohort, roster.references), folder / "validation", "val")
    evaluate_all({str(key): task for key, task in tasks.items()}, roster.resources.gpus, console)
    finalists = confirm(scored(study, keys, found, tasks), front)
    untouched = single(weights.verify(tasks[UNTOUCHED].folder), study.objectives)
    baseline = {name: interval.estimate for name, interval in untouched.items()}
    report = folder / "report"
    report.mkdir(exist_ok=True)
    table = seed_report.markdown(finalists, study.objectives, untouched)
    summary = {"finalists": [plain(f) for f in finalists], "seeds": seeds}
    summary |= {"reference_point": dict(front.reference)}
    summary |= {"optimism": optimism(finalists, study.objectives), "failed": list(found.failed)}
    write_text(report / "table.md", table)
    write_text(report / CONFIRMED.name, json.dumps(summary, indent=1))
    pictures = seed_report.figure(
        finalists, study.objectives, report_points(front), baseline, report / "confirm"
    )
    files = [report / "table.md", report / CONFIRMED.name, *pictures]
    # Grows with whatever is added, so that MLflow shows the newest:
    count = len(tasks) + sum(found.diverged.values())
    for file in files:
        roster.recorder.study_artifact(file, "report")
    roster.recorder.study_metrics(metrics(finalists), count)
    record(target, study.name, folder / "study", metrics(finalists), count, files, "confirm")
    console.print(seed_report.terminal(finalists, study.objectives, untouched))
    console.print(seed_report.closing(finalists, study.objectives, found, report), markup=False)


def metrics(finalists: Sequence[Finalist]) -> dict[str, float]:
    """``confirm/3_2/fid`` with ``_low`` and ``_high``, ``p_nondominated`` and ``rank`` of each finalist."""
    found: dict[str, float] = {}
    for finalist in finalists:
        place = f"{finalist.trial}_{finalist.steps}"
        found |= flat(place, finalist.values)
        found |= {f"{place}/p_nondominated": finalist.nondominated, f"{place}/rank": finalist.rank}
        found |= {f"{place}/searched_{name}": value for name, value in finalist.searched.items()}
    return {f"confirm/{name}": value for name, value in found.items()}


def record(
    target: tuple[str, str],
    study: str,
    folder: Path,
    values: Mapping[str, float],
    step: int,
    files: Sequence[Path],
    place: str,
) -> None:
    """Values and files in the study's own MLflow run; what is not taken waits in ``folder``."""
    recorder = Recorder(*target, study, folder)
    recorder.study_metrics(values, step)
    for file in files:
        recorder.study_artifact(file, place)
    if unsent := recorder.close(None, FLUSH_SECONDS):
        console.print(f"MLflow has not taken {unsent} records; they wait in {folder} for the next start")


if __name__ == "__main__":
    cli.run(main)
