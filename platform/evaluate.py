"""``python -m platform.evaluate STUDY``: a study's candidates on the test split, once, beside validation.

What is evaluated is fixed before the test split is first opened: the confirmed candidates with all their
trainings, else the front's. Asked again, the results are printed again; other candidates are refused, as one
chosen after a look at the test split would be chosen by it.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import cli, promote
from platform.cli import console
from platform.confirm import UNTOUCHED, evaluations, prepare, record, scored
from platform.confirmation import test_report
from platform.confirmation.ranking import flat, single
from platform.confirmation.retraining import FOLDER, Checkpoint, Outcome, outcome
from platform.confirmation.test_report import Row
from platform.execution.evaluation_tasks import evaluate_all, is_done
from platform.orchestration import cost_estimate
from platform.pareto.front import Front
from platform.pareto.selection import Key, saved_front
from platform.storage.layout import Storage
from platform.storage.ledger import locked
from platform.storage.saved_study import load_saved
from platform.study.study import Study
from platform.tracking import store
from typing import Any

from trainers import weights
from trainers.data.store import Cohort
from trainers.data.writer import folder as cohort_folder
from trainers.errors import InputError
from trainers.evaluate import Evaluation
from trainers.files import write_text

TERMS = "asked.json"


@dataclass(frozen=True)
class Asked:
    """What is evaluated: candidates, and their finished trainings."""

    keys: tuple[Key, ...]
    found: Outcome


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser("evaluate", __doc__)
    parser.add_argument("study", help="the study's name")
    wishes = f"{', '.join(promote.PICKS)}, TRIAL or TRIAL/STEPS"
    parser.add_argument("--pick", help=f"{wishes} (default: what was confirmed, else the front)")
    cli.add_places(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> None:
    """Run the command; raises InputError for what the user got wrong."""
    options = arguments(argv)
    storage = Storage.open(options.storage)
    folder = storage.existing(options.study)
    study, saved = load_saved(folder)
    front = saved_front(folder, study, saved)
    uri = options.tracking or saved["tracking"]
    experiment = store.prepare(uri, store.EXPERIMENT, storage.artifacts)
    (folder / "test").mkdir(exist_ok=True)
    with locked(folder / "test"):  # two at a time could open the test split for two choices
        asked = resolve(folder, study, front, options.pick)
        measure(study, saved, storage, asked, options.address)
        publish(study, front, asked, folder, (uri, experiment))


def measure(
    study: Study, saved: Mapping[str, Any], storage: Storage, asked: Asked, address: str | None
) -> None:
    """Evaluate what is not yet; before the test split is opened, what it is opened for is remembered."""
    folder = storage.study(study.name)
    places = cohort_folder(storage.root, saved["cohort"]), Path()
    if all(is_done(task) for task in both(asked, places, folder).values()):
        return
    if not address:
        cost_estimate.require_fit(study, cost_estimate.Machine.here())
    places = prepare(study, saved, storage, address)
    cohort = Cohort.open(places[0])
    cost_estimate.require_measurable(study, cohort, "test", {o.name: "objectives" for o in study.objectives})
    cohort.verify("test")
    freeze(folder, asked)
    tasks = both(asked, places, folder)
    evaluate_all({str(key): task for key, task in tasks.items()}, study.resources.gpus, console)


def resolve(folder: Path, study: Study, front: Front, wish: str | None) -> Asked:
    """What is evaluated; raises InputError for a wish after the test split was opened for others."""
    wished = None if wish is None else promote.pick(wish, front, folder)
    if (folder / "test" / TERMS).exists():
        asked = frozen(folder)
        if wished is not None and (wished.trial, wished.steps) not in asked.keys:
            known = ", ".join(f"{trial}/{steps}" for trial, steps in asked.keys)
            reason = "is not allowed once the test split was opened for others"
            raise InputError(f"--pick: {wished.trial}/{wished.steps} {reason}; allowed: {known}")
        return asked
    found = promote.confirmation(folder)
    confirmed, seeds = [(f["trial"], f["steps"]) for f in found["finalists"]], int(found["seeds"])
    keys = confirmed or [(c.trial, c.steps) for c in front.members]
    if wished is not None:
        keys = [(wished.trial, wished.steps)]
    return Asked(
        tuple(keys), outcome(folder, study, front, keys, seeds if set(keys) <= set(confirmed) else 0)
    )


def freeze(folder: Path, asked: Asked) -> None:
    """Remember what the test split is opened for."""
    (folder / "test").mkdir(exist_ok=True)
    kept = {"candidates": asked.keys, "trainings": [vars(c) for c in asked.found.checkpoints]}
    diverged = sorted(asked.found.diverged.items())
    write_text(folder / "test" / TERMS, json.dumps({**kept, "diverged": diverged}, indent=1))


def frozen(folder: Path) -> Asked:
    """What the test split was opened for."""
    kept = json.loads((folder / "test" / TERMS).read_text())
    checkpoints = tuple(Checkpoint(**c) for c in kept["trainings"])
    found = Outcome(checkpoints, {int(trial): int(n) for trial, n in kept["diverged"]}, ())
    return Asked(tuple((int(trial), int(steps)) for trial, steps in kept["candidates"]), found)


def both(asked: Asked, places: tuple[Path, Path], folder: Path) -> dict[tuple[str, Any], Evaluation]:
    """The evaluations on validation, as the confirmation has them, and on the test split."""
    homes = {"val": folder / FOLDER / "validation", "test": folder / "test" / "results"}
    return {
        (split, key): task
        for split, home in homes.items()
        for key, task in evaluations(asked.keys, asked.found, places, home, split).items()
    }


def rows(study: Study, front: Front, asked: Asked, tasks: Mapping[tuple[str, Any], Evaluation]) -> list[Row]:
    """Every candidate on both splits, and the untouched input."""
    parts = {s: {key: task for (split, key), task in tasks.items() if split == s} for s in ("val", "test")}
    val, test = (scored(study, asked.keys, asked.found, part) for part in parts.values())
    known, seen, own = val.intervals(), test.intervals(), test.intervals(searched=True)
    values = {(c.trial, c.steps): c.values for c in front.candidates}
    candidates = [
        Row(
            f"trial {key[0]}, {key[1]} step{'s' if key[1] > 1 else ''}",
            key,
            {o.name: values[key][o.name] for o in study.objectives},
            known[key],
            seen[key],
            {name: interval.estimate for name, interval in own[key].items()},
            len(val.seeds(key[0])),
        )
        for key in asked.keys
    ]
    bounds = [single(weights.verify(part[UNTOUCHED].folder), study.objectives) for part in parts.values()]
    return [*candidates, test_report.untouched(*bounds)]


def publish(study: Study, front: Front, asked: Asked, folder: Path, target: tuple[str, str]) -> None:
    """Write the report from what was published, record it in the study's own run, print it."""
    found = rows(study, front, asked, both(asked, (Path(), Path()), folder))
    report = folder / "test" / "report"
    report.mkdir(exist_ok=True)
    write_text(report / "table.md", test_report.markdown(found, study.objectives))
    write_text(report / "test.json", json.dumps([test_report.plain(row) for row in found], indent=1))
    files = [report / "table.md", report / "test.json", *test_report.figure(found, study.objectives, report)]
    values: dict[str, float] = {}
    for row in found:
        values |= {f"test/{name}": value for name, value in flat(row.place, row.test).items()}
    record(target, study.name, folder / "test" / "study", values, 0, files, "test")
    console.print(test_report.terminal(found, study.objectives))
    console.print(f"report: {report}", markup=False)


if __name__ == "__main__":
    cli.run(main)
