"""What the live table of a search shows: its trials, front, hypervolume, elapsed and remaining time."""

from dataclasses import dataclass
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.progress import Progress
from platform.reporting.console import clock
from platform.reporting.panels import number
from platform.storage.trials import ENDED

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

NEWEST = 20
"""Trials in the table."""


@dataclass(frozen=True)
class StudyView:
    """A search, as its live table shows it."""

    orchestrator: Orchestrator

    def ended(self) -> int:
        """How many trials have ended."""
        return self.orchestrator.ledger.trials.count(*ENDED)

    def table(self) -> Group:
        """The newest trials with their objectives, and the status line."""
        objectives, running = self.orchestrator.study.objectives, self.orchestrator.running
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for head in ("trial", "status", "steps", *(o.name for o in objectives)):
            table.add_column(head, justify="left" if head == "status" else "right")
        trials = self.orchestrator.ledger.trials
        for trial in (trials[newest] for newest in sorted(trials)[-NEWEST:]):
            last = trial.last
            progress = f"{last.step}/{last.steps}" if last else "-"
            status = "running" if trial.number in running else trial.status
            values = [number(last.most_refined[o.name]) if last else "" for o in objectives]
            table.add_row(str(trial.number), status, progress, *values)
        return Group(table, Text(self.line()))

    def line(self) -> str:
        """Counts, front, hypervolume, elapsed and remaining time."""
        return status_line(self.orchestrator.progress)


def status_line(progress: Progress) -> str:
    """Counts, front, hypervolume, elapsed and remaining time."""
    trials, budget = progress.ledger.trials, progress.study.budget
    failed, waiting = (
        f", {count} {word}" if count else ""
        for count, word in (
            (trials.count("diverged", "failed"), "failed"),
            (trials.count("paused"), "waiting"),
        )
    )
    volumes = progress.hypervolumes()
    parts = [
        f"{trials.count('completed')}/{budget.trials} trials completed{failed}{waiting}",
        f"front {len(progress.members())}",
        f"hypervolume {number(volumes[-1]) if volumes else '-'}",
        *limits(progress),
        f"elapsed {clock(progress.elapsed)}",
        f"remaining {clock(remaining(progress))}",
    ]
    return "  ".join(parts)


def limits(progress: Progress) -> list[str]:
    """GPU-hours and cost so far, where they are limited."""
    spent, budget = progress.spent.gpu_hours, progress.study.budget
    cost = f"cost {number(spent * budget.cost_per_gpu_hour)}/{budget.cost:g}"
    used = f"GPU-hours {number(spent)}/{budget.gpu_hours:g}"
    return [text for text, limit in ((used, budget.gpu_hours), (cost, budget.cost)) if limit]


def remaining(progress: Progress) -> float | None:
    """Remaining seconds at the pace of the finished trials; None before the first, at most the hours left."""
    finished = progress.ledger.trials.count(*ENDED, "paused")
    if not finished:
        return None
    budget = progress.study.budget
    pace = progress.elapsed / finished
    left = pace * max(0, budget.trials - finished)
    return min(left, max(0.0, 3600 * budget.hours - progress.elapsed)) if budget.hours else left
