"""What a search leaves behind: the front on the screen, pictures and tables on disk and in MLflow."""

import json
from collections.abc import Mapping
from pathlib import Path
from platform.orchestration.foretold import foretold
from platform.orchestration.orchestrator import Conductor
from platform.pareto.front import Front
from platform.reporting import figures
from platform.reporting.panels import Point
from typing import Any

from rich.console import Console

from trainers.data.store import Cohort
from trainers.metrics.judge import Judge


def publish(conductor: Conductor, judge: Judge, cohort: Cohort, console: Console) -> None:
    """Print the front beside the untouched input, and write and record what people would look at."""
    front, baselines = conductor.front(), judge.baselines
    points, objectives = report_points(front), conductor.study.objectives
    folder = conductor.folder / "report"
    folder.mkdir(exist_ok=True)
    files = [_write(folder / "table.md", figures.final_table(points, objectives))]
    summary = summarise(front, baselines, judge.protocol(cohort))
    files.append(_write(folder / "front.json", json.dumps(summary, indent=1)))
    if points:
        files += figures.pareto_figure(points, objectives, baselines["input"], folder / "pareto")
        files += figures.hypervolume_figure(conductor.hypervolumes(), folder / "hypervolume")
    for file in files:
        conductor.recorder.study_artifact(file, "report")
    console.print(figures.front_table(points, objectives, baselines["input"]))
    console.print(closing_lines(conductor, baselines.get("floor"), folder), markup=False)


def closing_lines(conductor: Conductor, floor: Mapping[str, float] | None, folder: Path) -> str:
    """Floors, overhead, failures and what to do next."""
    bad = conductor.ledger.of_status("diverged", "failed")
    lines = []
    if floor is not None:
        values = f"FID {floor['fid']:.3f}, KID {floor['kid']:.4f}"
        lines.append(f"floor (3 T of the same subjects against the 3 T pool): {values}")
    started = max(1, conductor.handed_out)
    overhead = 1000 * conductor.driver_seconds / started
    lines.append(f"driver overhead: {overhead:.0f} ms per trial (propose and record)")
    lines += [f"trial {trial.number} {trial.status}: {trial.reason}" for trial in bad]
    lines += saved_work(conductor)
    lines += foretold(list(conductor.ledger.trials.values()), conductor.study.objectives)
    if conductor.exhausted:
        tried, asked = len(conductor.ledger.trials), conductor.study.budget.trials
        lines.append(f"every point of the space is known: the study ends after {tried} of {asked} trials")
    if conductor.ending:
        lines.append(f"ended by its budget: {conductor.ending}; --resume NAME --extend adds to it")
    name = conductor.study.name
    lines.append(f"report: {folder}")
    lines.append(f"next: python -m platform.promote {name} --storage {conductor.storage.root}")
    return "\n".join(lines)


def saved_work(conductor: Conductor) -> list[str]:
    """How much training was spared; nothing without a scheduler."""
    halted = conductor.ledger.of_status("paused")
    ends = [trial.last for trial in conductor.ledger.trials.values() if trial.last]
    trained, whole = sum(end["step"] for end in ends), sum(end["steps"] for end in ends)
    if not conductor.study.levels or not whole:
        return []
    share = f"{trained} of {whole} steps ({100 * trained / whole:.0f} %) were trained"
    cause = " by rungs or the budget" if conductor.ending else ""
    return [f"{len(halted)} of {len(ends)} trials were stopped early{cause}: {share}"]


def report_points(front: Front) -> list[Point]:
    """The candidates as the pictures take them."""
    members = {(c.trial, c.steps) for c in front.members}
    knee = (front.knee.trial, front.knee.steps) if front.knee else None
    return [
        Point(c.trial, c.steps, c.values, c.params, (c.trial, c.steps) in members, (c.trial, c.steps) == knee)
        for c in front.candidates
    ]


def summarise(
    front: Front, baselines: Mapping[str, Mapping[str, float]], protocol: Mapping[str, str]
) -> dict[str, Any]:
    """The front as JSON, with everything needed to read its numbers."""
    return {
        "objectives": {o.name: o.direction for o in front.objectives},
        "reference_point": dict(front.reference),
        "hypervolume": front.hypervolume,
        "baselines": {name: dict(values) for name, values in baselines.items()},
        "protocol": dict(protocol),
        "front": [{"knee": c is front.knee, **vars(c)} for c in front.members],
    }


def _write(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    return path
