"""The end of a comparison: every system evaluated once on the test splits, then tables and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from platform.comparison import tables
from platform.comparison.realism_fidelity_plots import realism_fidelity_figure
from platform.comparison.slice_grid import slice_grid_figure
from platform.execution.evaluation_tasks import evaluate_all
from platform.execution.fixed_trials import FixedTrials
from platform.execution.training import Training
from platform.pareto.front import Front, candidates
from platform.reporting import sensitivity_table
from platform.reporting.matplotlib_plots import Image
from platform.reporting.sensitivity_table import Cards
from platform.stats.scores import EvaluationFacts, SystemResult, scores_of
from platform.storage.trials import Trial
from platform.study.criteria import reference_point
from platform.study.settings import Objective

from rich.console import Console

from trainers import weights
from trainers.bounds import store as bounds
from trainers.data.store import SHIFTED
from trainers.evaluate import SAMPLES, Evaluation
from trainers.files import write_text
from trainers.methods.base import find_method
from trainers.metrics.judge import Judge
from trainers.metrics.measures import EXTENDED
from trainers.metrics.names import METRICS
from trainers.places import mounts

INPUT, TRUTH = "Untouched 64 mT", "Paired 3 T itself"
BOUNDS = {
    "input": INPUT,
    "matched": "Histogram-matched 64 mT",
    "restored": "Closed-form restoration",
    "lookup": "Joint (T1, T2) lookup, a bound",
    "supervised": "Supervised network, a bound",
    "truth": TRUTH,
}


def report_comparison(
    trials: FixedTrials,
    objectives: Sequence[Objective],
    judge: Judge,
    cards: Cards,
    bound: Path | None,
    extended: bool,
    console: Console,
) -> None:
    """Evaluate what is not done yet, write the report, record it, print the tables."""
    counts = {
        trial.number: chosen_steps(objectives, trial, judge.baselines["input"])
        for _, trial in trials.trials()
        if trial.status == "completed"
    }
    keys = [key for key in BOUNDS if {"truth": judge.paired, "supervised": bound}.get(key, True)]
    folders = {
        split: evaluate_on(split, trials, counts, keys, bound, console)
        for split in judge.cohort.evaluated[1:]
    }
    facts = {split: _facts(of_split) for split, of_split in folders.items()}
    rows = result_rows(trials, facts["test"])
    shifted = result_rows(trials, facts[SHIFTED]) if SHIFTED in facts else []
    shown = {name: direction for name, direction in EXTENDED.items() if extended}
    folder = trials.folder / "report"
    folder.mkdir(exist_ok=True)
    label = judge.references.radiology_label
    text = tables.markdown(rows, radiology=label, extended=shown, shifted=shifted)
    choices = judge.protocol() | ({} if bound is None else {"supervised": bounds.describe(bound)})
    protocol = "\n".join(f"- {name}: {choice}" for name, choice in choices.items())
    files = [folder / "tables.md", folder / "scores.csv"]
    write_text(files[0], f"{text}\n### Protocol\n\n{protocol}\n")
    write_text(files[1], tables.csv(rows, [*METRICS, *shown]))
    if shifted:
        files.append(folder / "scores_shifted.csv")
        write_text(files[-1], tables.csv(shifted, [*METRICS, *shown]))
    if cards:
        files.append(folder / "sensitivity.md")
        write_text(files[-1], sensitivity_table.markdown(cards))
    files += realism_fidelity_figure(rows, folder / "plane")
    files.append(
        slice_grid_figure(slices_by_column(trials.trials(), folders["test"]), folder / "gallery.png")
    )
    for file in files:
        trials.recorder.study_artifact(file, "report")
    for number in counts:
        for split, of_split in facts.items():
            record(trials, number, split, of_split[str(number)])
    console.print(tables.terminal(rows, radiology=label, shifted=shifted))
    console.print(f"report: {mounts.shown(folder)}", markup=False)


def chosen_steps(objectives: Sequence[Objective], trial: Trial, baseline: Mapping[str, float]) -> int:
    """The refinement step count with the largest hypervolume by itself on VALIDATION, as in a search."""
    known = [objective for objective in objectives if objective.name in baseline]
    front = Front(known, reference_point(baseline, known), candidates([trial]))
    return front.candidates[front.best].steps


def _facts(folders: Mapping[str, Path]) -> dict[str, EvaluationFacts]:
    return {key: weights.verify(folder) for key, folder in folders.items()}


def result_rows(trials: FixedTrials, facts: Mapping[str, EvaluationFacts]) -> list[SystemResult]:
    """The rows of one split: those of :data:`BOUNDS` that the cohort has, then the systems."""
    bounds = [bound_row(key, facts[key]) for key in BOUNDS if key in facts and facts[key]["scores"]]
    return bounds + system_rows(trials.trials(), facts)


def evaluate_on(
    split: str,
    trials: FixedTrials,
    counts: Mapping[int, int],
    keys: Sequence[str],
    bound: Path | None,
    console: Console,
) -> dict[str, Path]:
    """Folders of a test split's results by ``keys`` of :data:`BOUNDS` and trial number; made by Ray tasks."""
    requested = {key: (key, 1) for key in keys}
    for number, steps in counts.items():
        last = trials.ledger.trials[number].last
        assert last is not None
        requested[str(number)] = last.checkpoint, steps
    places, results = (trials.paths.cohort, trials.paths.references), trials.folder / "results"
    if split != "test":
        results /= split
    tasks = {
        key: Evaluation(translator, steps, *places, results / key, split, trials.paths.measures, bound)
        for key, (translator, steps) in requested.items()
    }
    return evaluate_all(tasks, trials.resources.gpus, console)


def bound_row(key: str, facts: EvaluationFacts) -> SystemResult:
    """A baseline's row, or the paired 3 T's."""
    kind = "truth" if key == "truth" else "input"
    return SystemResult(key, BOUNDS[key], (scores_of(facts),), kind=kind)


def system_rows(
    trials: Sequence[tuple[Training, Trial]], facts: Mapping[str, EvaluationFacts]
) -> list[SystemResult]:
    """A row a system, its seeds together."""
    systems: dict[str, list[tuple[Training, Trial]]] = {}
    for training, trial in trials:
        systems.setdefault(training.system, []).append((training, trial))
    return [system_row(group, facts) for group in systems.values()]


def system_row(
    trials: Sequence[tuple[Training, Trial]], facts: Mapping[str, EvaluationFacts]
) -> SystemResult:
    """The row of one system: scores of the seeds that finished, why others failed, mean costs."""
    done = [(trial, facts[str(trial.number)]) for _, trial in trials if str(trial.number) in facts]
    notes = [
        trial.reason if trial.status == "diverged" else f"failed: {trial.reason}"
        for _, trial in trials
        if trial.status in ("diverged", "failed")
    ]
    costs = [
        {**each["costs"], "train_seconds": training_seconds(trial), "steps": each["steps"]}
        for trial, each in done
    ]
    means = {name: sum(cost[name] for cost in costs) / len(costs) for name in (costs[0] if costs else {})}
    first = trials[0][0]
    if done and (caveat := find_method(first.method).Method.caveat):
        notes.append(caveat)
    return SystemResult(
        first.system,
        first.label,
        tuple(scores_of(each) for _, each in done),
        note="; ".join(notes),
        facts=means,
    )


def training_seconds(trial: Trial) -> float:
    """Seconds of training alone."""
    return sum(float(report.training_seconds) for report in trial.reports.values())


def slices_by_column(
    trials: Sequence[tuple[Training, Trial]], folders: Mapping[str, Path]
) -> dict[str, dict[str, Image]]:
    """The middle slice of the first test subject, by column and contrast; the first finished seed of each."""
    columns = {INPUT: _slices(folders["input"])}
    for training, trial in trials:
        if str(trial.number) in folders and training.label not in columns:
            columns[training.label] = _slices(folders[str(trial.number)])
    if "truth" in folders:
        columns["3 T"] = _slices(folders["truth"])
    return columns


def record(trials: FixedTrials, number: int, split: str, facts: EvaluationFacts) -> None:
    """The scores of a test split in the training's MLflow run."""
    values = {f"{split}/{name}": score.estimate for name, score in scores_of(facts).items()}
    values |= {f"{split}/{name}": value for name, value in facts["costs"].items()}
    last = trials.ledger.trials[number].last
    assert last is not None
    trials.recorder.metrics(number, values | {f"{split}/steps": facts["steps"]}, last.step)


def _slices(folder: Path) -> dict[str, Image]:
    stored = weights.read_tensors(folder, SAMPLES)
    return {title.split()[0]: x[0].numpy() for title, x in stored.items() if title.endswith("output")}
