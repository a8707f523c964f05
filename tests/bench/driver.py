"""``python -m tests.bench.driver``: what the driver costs at 10,000 trials, without Ray and without training.

Trials report as real ones do, 3 refinement step counts by 22 scores and 20 losses at 3 rungs and at the end,
in an order like that of many places. Every call of the driver is timed.
"""

import argparse
import gc
import heapq
import json
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform.execution.trial_source import TrialPaths
from platform.orchestration.live_view import StudyView
from platform.orchestration.orchestrator import Orchestrator
from platform.orchestration.progress import Progress
from platform.storage.ledger import Ledger
from platform.study.budget import Budget
from platform.study.criteria import Criteria
from platform.study.settings import Objective, Scheduler
from platform.study.study import Study

import numpy as np

from tests.platform.conftest import TOY
from trainers.report import Report

STEPS, GRACE = 54, 2
OBJECTIVES = (
    Objective("patch_fd", "minimize"),
    Objective("ms_ssim", "maximize"),
    Objective("psnr", "maximize"),
)
CRITERIA = Criteria({"patch_fd": 60.0, "ms_ssim": 0.5, "psnr": 10.0})
SCORES = tuple(f"score_{index}" for index in range(19))
LOSSES = tuple(f"loss_{index}" for index in range(20))


@dataclass
class Times:
    """Seconds of each call, by its kind."""

    of: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def quantile(self, kind: str, share: float = 0.95, last: int = 1000) -> float:
        """Milliseconds, of the last calls: the driver is slowest at the end."""
        return 1000 * float(np.quantile(self.of[kind][-last:], share))


def study_of(trials: int, scheduler: str) -> Study:
    """Random search with or without early stopping."""
    return replace(
        TOY,
        search=TOY.search[:2],
        fixed={"steps": STEPS},
        objectives=OBJECTIVES,
        scheduler=Scheduler(name=scheduler, grace=GRACE, reduction=3) if scheduler != "none" else Scheduler(),
        budget=Budget(trials=trials),
    )


def report(folder: Path, number: int, step: int) -> Report:
    """Realism and fidelity that pull against each other, and noise that shrinks with training."""
    rng = np.random.default_rng((number, step))
    place, quality = np.random.default_rng(number).random(2)
    scores = {}
    for count in (1, 2, 3):
        noise = rng.normal(size=3) * (0.02 + 0.1 * (1 - step / STEPS))
        values = {
            "patch_fd": 10 + 40 * (1 - place) ** 2 + 20 * quality + 5 * noise[0] + count,
            "ms_ssim": 0.9 - 0.2 * place - 0.1 * quality + 0.02 * noise[1],
            "psnr": 20 - 4 * place - 2 * quality + noise[2],
        }
        scores[count] = values | dict(zip(SCORES, rng.random(len(SCORES)).tolist(), strict=True))
    losses = dict(zip(LOSSES, rng.random(len(LOSSES)).tolist(), strict=True))
    checkpoint = str(folder / "trials" / f"{number:05d}" / f"step-{step:09d}")
    return Report(step, STEPS, scores, losses, 1.5, checkpoint, 1.2, 2)


def drive(orchestrator: Orchestrator, folder: Path, places: int, times: Times) -> None:
    """Run the study to its end, ``places`` trials at a time."""
    queue: list[tuple[float, int, tuple[int, ...]]] = []
    clock = 0.0
    pace = np.random.default_rng(0)

    def timed(kind: str, function: "object", *arguments: "object") -> "object":
        started = time.perf_counter()
        result = function(*arguments)  # type: ignore[operator]
        times.of[kind].append(time.perf_counter() - started)
        return result

    while True:
        while len(queue) < places and (following := timed("next", orchestrator.next)):
            number, task = following  # type: ignore[misc]
            done = max(orchestrator.ledger.trials[number].reports, default=0)
            left = tuple(step for step in (*task.milestones, STEPS) if step > done)
            heapq.heappush(queue, (clock + pace.gamma(5) * (left[0] - done), number, left))
        if not queue:
            if orchestrator.over:
                return
            continue
        clock, number, left = heapq.heappop(queue)
        rung = report(folder, number, left[0])
        kind = "end" if rung.done else "decision"
        if timed(kind, orchestrator.reported, number, rung):
            heapq.heappush(queue, (clock + pace.gamma(5) * (left[1] - left[0]), number, left[1:]))


def resident() -> float:
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def opened(folder: Path, study: Study) -> Orchestrator:
    """A driver on what the folder has."""
    ledger = Ledger(folder, scores=study.metrics)
    return Orchestrator(Progress(study, CRITERIA, ledger), TrialPaths(folder, Path("c"), Path("r")), ())


def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser("driver")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--scheduler", choices=("asha", "none"), default="asha")
    options = parser.parse_args()
    study, times = study_of(options.trials, options.scheduler), Times()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        orchestrator = opened(folder, study)
        gc.collect()
        before, started = resident(), time.perf_counter()
        drive(orchestrator, folder, options.places, times)
        seconds, after = time.perf_counter() - started, resident()
        view = time.perf_counter()
        StudyView(orchestrator).table()
        figures = {"table_ms": 1000 * (time.perf_counter() - view)}
        orchestrator.close()
        orchestrator.ledger.close()
        size = (folder / "ledger.jsonl").stat().st_size / 1e6
        started = time.perf_counter()
        again = opened(folder, study)
        assert again.next() is None and again.over
        figures |= {"open_s": time.perf_counter() - started, "all_s": seconds, "grown_mb": after - before}
        again.ledger.close()
    kinds = ("next", "decision", "end")
    figures |= {f"{kind}_p95_ms": times.quantile(kind) for kind in kinds if kind in times.of}
    figures |= {"ledger_mb": size, "trials": options.trials}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
