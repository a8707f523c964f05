"""What a search leaves: the front on the screen, pictures and tables on disk and in MLflow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform.orchestration.progress import Progress
from platform.pareto.front import Front, candidates, candidates_at
from platform.reporting import figures, sensitivity_table
from platform.reporting.panels import metric_label, number, plotted
from platform.reporting.sensitivity_table import Cards
from platform.stats.ranks import spearman
from platform.storage import movable
from platform.storage.ledger import read_trials
from platform.storage.trials import Trial
from platform.study.settings import Objective
from platform.tracking.recorder import Recorder
from typing import Any

from rich.console import Console

from trainers.bounds import store as bounds
from trainers.files import write_text
from trainers.metrics import baselines
from trainers.metrics.judge import Judge
from trainers.places import mounts
from trainers.report import SHARE, weight_of

ENOUGH_ENDS = 5
"""Completed trials from which a rank correlation is shown."""
INERT = 0.01
"""Share of the gradient below which a term of the loss is said to do nothing."""


@dataclass(frozen=True)
class Findings:
    """What a report needs besides the trials."""

    judge: Judge
    cards: Cards
    bound: Path | None
    """Folder of the supervised bound, where there is one."""

    @property
    def protocol(self) -> dict[str, str]:
        """Of the measures, and of the bound."""
        described = {} if self.bound is None else {"supervised": bounds.describe(self.bound)}
        return self.judge.protocol() | described


def report_search(
    progress: Progress, folder: Path, recorder: Recorder, found: Findings, console: Console
) -> list[str]:
    """Print the front beside the baselines, write and record pictures and tables; closing lines."""
    trials, protocol = read_trials(progress.ledger.folder), found.protocol
    front = progress.make_front(candidates(trials.of_status("completed")))
    scores = baselines.scores(found.judge, found.bound)
    points, objectives = plotted(front), progress.study.objectives
    folder.mkdir(exist_ok=True)
    summary = summarise(front, scores, protocol, progress.ledger.folder)
    files = [folder / "table.md", folder / "front.json"]
    write_text(files[0], figures.final_table(points, objectives, scores) + "\n")
    write_text(files[1], json.dumps(summary, indent=1) + "\n")
    if points:
        files += figures.pareto_figure(points, objectives, scores["input"], folder / "pareto")
        files += figures.hypervolume_figure(progress.hypervolumes(), folder / "hypervolume")
    if found.cards:
        files.append(folder / "sensitivity.md")
        write_text(files[-1], sensitivity_table.markdown(found.cards))
    for file in files:
        recorder.study_artifact(file, "report")
    console.print(figures.front_table(points, objectives, scores))
    lines = [f"supervised bound: {protocol['supervised']}"] if "supervised" in protocol else []
    return [
        *lines,
        *closing_lines(progress, scores.get("floor"), list(trials.values())),
        f"report: {mounts.shown(folder)}",
    ]


def closing_lines(
    progress: Progress, floor: Mapping[str, float] | None, trials: Sequence[Trial]
) -> list[str]:
    """Floor, overhead, failures, early stopping, and why the study ended; ``trials`` with losses."""
    lines = []
    if floor is not None:
        names = dict.fromkeys([*(o.name for o in progress.study.objectives if o.name in floor), "fid", "kid"])
        values = ", ".join(f"{metric_label(name)} {number(floor[name])}" for name in names)
        lines.append(f"floor (3 T of the same subjects against the 3 T pool): {values}")
    overhead = 1000 * progress.driver_seconds / max(1, progress.started_trials)
    lines.append(f"driver overhead: {overhead:.0f} ms per trial (propose and record)")
    failures = progress.ledger.of_status("diverged", "failed")
    lines += [f"trial {trial.number} {trial.status}: {trial.reason}" for trial in failures]
    lines += saved_work(progress)
    lines += [f"trial {trial.number}: {note}" for trial in trials for note in trial.notes]
    if stops := sum(trial.interruptions for trial in trials):
        lines.append(f"{stops} times a fault of the environment stopped a trial, which was resumed")
    lines += inert_terms(trials)
    lines += rung_correlations(trials, progress.study.objectives)
    if progress.exhausted:
        tried, requested = len(progress.ledger.trials), progress.study.budget.trials
        lines.append(f"every point of the space is known: the study ends after {tried} of {requested} trials")
    if progress.ending:
        lines.append(f"ended by its budget: {progress.ending}; --resume NAME --extend adds to it")
    return lines


def saved_work(progress: Progress) -> list[str]:
    """How much training early stopping has saved; nothing without a scheduler."""
    stopped = progress.ledger.of_status("paused")
    last = [trial.last for trial in progress.ledger.trials.values() if trial.last]
    trained, whole = sum(report.step for report in last), sum(report.steps for report in last)
    if not progress.study.levels or not whole:
        return []
    share = f"{trained} of {whole} steps ({100 * trained / whole:.0f} %) were trained"
    cause = " by rungs or the budget" if progress.ending else ""
    return [f"{len(stopped)} of {len(last)} trials were stopped early{cause}: {share}"]


def inert_terms(trials: Sequence[Trial]) -> list[str]:
    """A line for each term of a loss whose mean share of the gradient is below 1 % in every trial."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        reports = [report.losses for report in trial.reports.values()]
        for name in {name for losses in reports for name in losses if name.startswith(SHARE)}:
            values = [losses[name] for losses in reports if name in losses]
            found.setdefault(name, []).append(sum(values) / len(values))
    return [
        f"{weight_of(name)}: its term had at most {100 * max(values):.2g} % of the gradient in every trial: "
        "it does nothing"
        for name, values in sorted(found.items())
        if max(values) < INERT
    ]


def rung_correlations(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[str]:
    """How well each rung that all completed trials share predicts their ends: its rank correlations.

    Each objective is a trial's best over its refinement step counts. Where trials are stopped by their rungs,
    those that complete are alike, so that the correlation is rather too low than too high.
    """
    completed = [trial for trial in trials if trial.status == "completed"]
    if len(completed) < ENOUGH_ENDS:
        return []
    shared = set.intersection(*(set(trial.reports) - {max(trial.reports)} for trial in completed))
    return [
        f"rank correlation of step {step} with the end, {len(completed)} trials: "
        + ", ".join(f"{o.name} {_correlation(completed, step, o):.2f}" for o in objectives)
        for step in sorted(shared)
    ]


def _correlation(trials: Sequence[Trial], step: int, objective: Objective) -> float:
    """Of an objective at a step with the same at each trial's newest report; NaN where all are equal."""
    at_step = [_best(trial, step, objective) for trial in trials]
    return spearman(at_step, [_best(trial, max(trial.reports), objective) for trial in trials])


def _best(trial: Trial, step: int, objective: Objective) -> float:
    values = [candidate.values[objective.name] for candidate in candidates_at(trial, step)]
    return min(values) if objective.direction == "minimize" else max(values)


def summarise(
    front: Front, baselines: Mapping[str, Mapping[str, float]], protocol: Mapping[str, str], study: Path
) -> dict[str, Any]:
    """The front as JSON, with everything needed to read its numbers; checkpoints within the ``study``."""
    return {
        "objectives": {o.name: o.direction for o in front.objectives},
        "reference_point": dict(front.reference),
        "hypervolume": front.hypervolume,
        "baselines": {name: dict(values) for name, values in baselines.items()},
        "protocol": dict(protocol),
        "front": [
            {"knee": c is front.knee, **vars(c), "checkpoint": movable.kept(study, Path(c.checkpoint))}
            for c in front.members
        ],
    }
