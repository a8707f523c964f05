"""The end of a comparison: every system evaluated once on the test split, then tables and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.comparison import realism_fidelity, slice_grid, tables
from platform.execution.evaluation_tasks import Facts, evaluate_all, scores
from platform.execution.fixed_trials import Entry, Roster
from platform.pareto import front
from platform.reporting.matplotlib_plots import Image
from platform.stats.ranks import Row
from platform.storage.ledger import Trial
from platform.study.study import Objective

from rich.console import Console

from trainers import weights
from trainers.data.store import Cohort
from trainers.evaluate import SAMPLES, Evaluation
from trainers.methods.base import find_method
from trainers.metrics.extended import EXTENDED
from trainers.metrics.judge import Judge
from trainers.metrics.names import METRICS
from trainers.references.store import References

INPUT, TRUTH = "Untouched 64 mT", "Paired 3 T itself"
BOUNDS = {"input": INPUT, "truth": TRUTH}


def publish(roster: Roster, cohort: Cohort, references: References, extended: bool, console: Console) -> None:
    """Evaluate what is not yet, write the report, record it, print the tables."""
    judge = Judge.of(cohort, references, "val")
    counts = {
        trial.number: chosen_steps(entry.entrant.study.objectives, trial, judge.baselines["input"])
        for entry, trial in roster.trials()
        if trial.status == "completed"
    }
    folders = evaluated(roster, counts, judge.paired, console)
    facts = {key: weights.verify(folder) for key, folder in folders.items()}
    rows = [bound_row(key, facts[key]) for key in BOUNDS if key in facts]
    rows += system_rows(roster.trials(), facts)
    shown = {name: direction for name, direction in EXTENDED.items() if extended}
    folder = roster.folder / "report"
    folder.mkdir(exist_ok=True)
    label = references.radiology_label
    text = tables.markdown(rows, radiology=label, extended=shown)
    protocol = "\n".join(f"- {name}: {choice}" for name, choice in judge.protocol(cohort).items())
    files = [
        _write(folder / "tables.md", f"{text}\n### Protocol\n\n{protocol}\n"),
        _write(folder / "scores.csv", tables.csv(rows, [*METRICS, *shown])),
        *realism_fidelity.plane(rows, folder / "plane"),
        slice_grid.gallery(pictured(roster.trials(), folders), folder / "gallery.png"),
    ]
    for file in files:
        roster.recorder.study_artifact(file, "report")
    for number in counts:
        record(roster, number, facts[str(number)])
    console.print(tables.terminal(rows, radiology=label))
    console.print(f"report: {folder}", markup=False)


def chosen_steps(objectives: Sequence[Objective], trial: Trial, baseline: Mapping[str, float]) -> int:
    """The refinement step count that alone dominates most on VALIDATION, as in a search."""
    known = [objective for objective in objectives if objective.name in baseline]
    judged = front.Front(known, front.reference_point(baseline, known), front.candidates([trial]))
    return judged.candidates[judged.best].steps


def evaluated(roster: Roster, counts: Mapping[int, int], paired: bool, console: Console) -> dict[str, Path]:
    """Folders of the test results by ``input``, ``truth`` and trial number; made by Ray tasks."""
    asked = {"input": ("input", 1)} | ({"truth": ("truth", 1)} if paired else {})
    for number, steps in counts.items():
        report = roster.ledger.trials[number].last
        assert report is not None
        asked[str(number)] = report["checkpoint"], steps
    tasks = {
        key: Evaluation(what, steps, roster.cohort, roster.references, roster.folder / "results" / key)
        for key, (what, steps) in asked.items()
    }
    return evaluate_all(tasks, roster.resources.gpus, console)


def bound_row(key: str, facts: Facts) -> Row:
    """The untouched input's row, or the paired 3 T's."""
    return Row(key, BOUNDS[key], (scores(facts),), kind=key)


def system_rows(trials: Sequence[tuple[Entry, Trial]], facts: Mapping[str, Facts]) -> list[Row]:
    """A row a system, its seeds together."""
    systems: dict[str, list[tuple[Entry, Trial]]] = {}
    for entry, trial in trials:
        systems.setdefault(entry.entrant.name, []).append((entry, trial))
    return [system_row(group, facts) for group in systems.values()]


def system_row(trials: Sequence[tuple[Entry, Trial]], facts: Mapping[str, Facts]) -> Row:
    """One system's row: scores of the seeds that finished, what befell the others, mean costs."""
    done = [(trial, facts[str(trial.number)]) for _, trial in trials if str(trial.number) in facts]
    notes = [
        trial.reason if trial.status == "diverged" else f"failed: {trial.reason}"
        for _, trial in trials
        if trial.status in ("diverged", "failed")
    ]
    costs = [
        {**found["costs"], "train_seconds": trained(trial), "steps": found["steps"]} for trial, found in done
    ]
    means = {name: sum(cost[name] for cost in costs) / len(costs) for name in (costs[0] if costs else {})}
    entrant = trials[0][0].entrant
    if done and (caveat := find_method(entrant.study.method_of(entrant.first)).Method.caveat):
        notes.append(caveat)
    return Row(
        entrant.name,
        entrant.label,
        tuple(scores(found) for _, found in done),
        note="; ".join(notes),
        facts=means,
    )


def trained(trial: Trial) -> float:
    """Seconds of training alone."""
    return sum(float(report["training_seconds"]) for report in trial.reports.values())


def pictured(
    trials: Sequence[tuple[Entry, Trial]], folders: Mapping[str, Path]
) -> dict[str, dict[str, Image]]:
    """The middle slice of the first test subject, by column and contrast; the first finished seed of each."""
    columns = {INPUT: _slices(folders["input"])}
    for entry, trial in trials:
        if str(trial.number) in folders and entry.entrant.label not in columns:
            columns[entry.entrant.label] = _slices(folders[str(trial.number)])
    if "truth" in folders:
        columns["3 T"] = _slices(folders["truth"])
    return columns


def record(roster: Roster, number: int, facts: Facts) -> None:
    """The test scores in the training's MLflow run."""
    values = {f"test/{name}": score.estimate for name, score in scores(facts).items()}
    values |= {f"test/{name}": value for name, value in facts["costs"].items()}
    last = roster.ledger.trials[number].last
    assert last is not None
    roster.recorder.metrics(number, values | {"test/steps": facts["steps"]}, last["step"])


def _slices(folder: Path) -> dict[str, Image]:
    stored = weights.read_tensors(folder, SAMPLES)
    return {title.split()[0]: x[0].numpy() for title, x in stored.items() if title.endswith("output")}


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
