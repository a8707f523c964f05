"""The live table of a running study: its trials, front, hypervolume, time gone and to go."""

import time
from dataclasses import dataclass
from platform.orchestration.orchestrator import Conductor
from platform.reporting.panels import number
from platform.storage.ledger import OVER
from typing import Any, Protocol

from ray import tune
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text


class View(Protocol):
    """What a board shows."""

    def ended(self) -> int:
        """How many trials are over."""

    def table(self) -> Group:
        """The trials, and a status line."""

    def line(self) -> str:
        """The status line."""


class Board(tune.Callback):  # type: ignore[misc]
    """Redraws at most once a second, from Tune's event loop; a dumb terminal gets a line a result instead."""

    def __init__(self, view: View | None, console: Console | None) -> None:
        self._view, self._console = view, console
        self._live: Live | None = None
        self._drawn = 0.0
        self._told = 0
        if console is not None and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
            self._live.start()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune's heartbeat."""
        if time.monotonic() - self._drawn < 1 or self._view is None:
            return
        self._drawn = time.monotonic()
        if self._live is not None:
            self._live.update(self._view.table(), refresh=True)
        elif self._told != self._view.ended():
            self._told = self._view.ended()
            assert self._console is not None
            self._console.print(self._view.line())

    def stop(self) -> None:
        """Leave the last table on the screen."""
        live, self._live = self._live, None
        if live is not None and self._view is not None:
            live.update(self._view.table(), refresh=True)
            live.stop()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks; the copy draws nothing."""
        return {**self.__dict__, "_view": None, "_console": None, "_live": None}


@dataclass(frozen=True)
class StudyView:
    """A search, as its board shows it."""

    conductor: Conductor

    def ended(self) -> int:
        """How many trials are over."""
        return len(self.conductor.ledger.of_status(*OVER))

    def table(self) -> Group:
        """The newest trials with their objectives."""
        return render(self.conductor)

    def line(self) -> str:
        """Counts, front, hypervolume, times."""
        return status_line(self.conductor)


def render(conductor: Conductor) -> Group:
    """The table with its status line."""
    objectives = conductor.study.objectives
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("trial", "status", "steps", *(o.name for o in objectives)):
        table.add_column(head, justify="left" if head == "status" else "right")
    for trial in sorted(conductor.ledger.trials.values(), key=lambda t: t.number)[-20:]:
        last = trial.last
        progress = f"{last['step']}/{last['steps']}" if last else "-"
        scores = trial.scores[max(trial.scores)] if trial.scores else {}
        status = "running" if trial.number in conductor.running else trial.status
        values = [number(scores[o.name]) if scores else "" for o in objectives]
        table.add_row(str(trial.number), status, progress, *values)
    return Group(table, Text(status_line(conductor)))


def status_line(conductor: Conductor) -> str:
    """Counts, front, hypervolume, elapsed and remaining time."""
    ledger, budget = conductor.ledger, conductor.study.budget
    done = len(ledger.of_status("completed"))
    bad, waiting = (
        f", {count} {word}" if count else ""
        for count, word in (
            (len(ledger.of_status("diverged", "failed")), "not"),
            (len(ledger.of_status("paused")), "waiting"),
        )
    )
    volumes = conductor.hypervolumes()
    parts = [
        f"{done}/{budget.trials} trials completed{bad}{waiting}",
        f"front {len(conductor.front().members)}",
        f"hypervolume {number(volumes[-1]) if volumes else '-'}",
        *limits(conductor),
        f"elapsed {clock(conductor.elapsed)}",
        f"remaining {clock(remaining(conductor))}",
    ]
    return "  ".join(parts)


def limits(conductor: Conductor) -> list[str]:
    """GPU-hours and cost so far, where they are limited."""
    spent, budget = conductor.spent.gpu_hours, conductor.study.budget
    cost = f"cost {number(spent * budget.cost_per_gpu_hour)}/{budget.cost:g}"
    used = f"GPU-hours {number(spent)}/{budget.gpu_hours:g}"
    return [text for text, limit in ((used, budget.gpu_hours), (cost, budget.cost)) if limit]


def remaining(conductor: Conductor) -> float | None:
    """Seconds to go at the pace of the finished trials; None before the first, at most the hours left."""
    finished = conductor.ledger.of_status(*OVER, "paused")
    if not finished:
        return None
    budget = conductor.study.budget
    pace = conductor.elapsed / len(finished)
    left = pace * max(0, budget.trials - len(finished))
    return min(left, max(0.0, 3600 * budget.hours - conductor.elapsed)) if budget.hours else left


def clock(seconds: float | None) -> str:
    """``1:02:03``, or a dash."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
