"""The trainings of a comparison with their scores on every split, at every refinement step count."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from platform.reporting.console import console
from platform.stats.scores import Score, scores_of
from platform.storage.jsonl import read_lines
from platform.storage.ledger import FILE, Trial, apply, of_status

from trainers import weights
from trainers.data.writer import find
from trainers.evaluate import Evaluation, evaluate

Scores = Mapping[str, Score]


@dataclass(frozen=True)
class Trained:
    """One training."""

    system: str
    seed: int
    chosen: int
    """The refinement step count that validation has chosen."""
    validation: Mapping[int, Mapping[str, float]]
    test: Mapping[int, Scores]
    """By refinement step count."""
    shifted: Mapping[int, Scores]
    shares: Mapping[str, float]
    """Of each term in the gradient at the generator's output."""
    seconds: float
    """Of training alone."""
    checkpoint: str = ""


def completed(folder: Path) -> list[Trial]:
    """The completed trials of a study's or comparison's folder."""
    trials: dict[int, Trial] = {}
    for entry, _ in read_lines(folder / FILE):
        if entry is not None:
            apply(trials, entry)
    return of_status(trials, "completed")


def origin(folder: Path, root: Path) -> tuple[Path, Path]:
    """The cohort and the references of a comparison."""
    last = completed(folder)[0].last
    assert last is not None
    facts = weights.read_manifest(Path(last.checkpoint))
    cohort = find(root, facts["cohort"])
    assert cohort is not None
    return cohort, root / "references" / facts["references"][:16]


def read(folder: Path, root: Path, chosen_only: bool = False) -> list[Trained]:
    """Every training of a comparison, evaluated where it is not yet at all of its step counts.

    ``chosen_only``: at that alone which validation has chosen.
    """
    trials, results = completed(folder), folder / "results"
    cohort, references = origin(folder, root)
    facts = {trial.number: weights.verify(results / str(trial.number)) for trial in trials}
    places = {"test": results / "steps" / "test", "shifted": results / "steps" / "shifted"}
    chosen = {trial.number: int(facts[trial.number]["steps"]) for trial in trials}
    tasks = [
        Evaluation(trial.last.checkpoint, count, cohort, references, place / f"{trial.number}-{count}", split)
        for split, place in places.items()
        for trial in trials
        if trial.last
        for count in counts(trial, split, chosen[trial.number], chosen_only)
    ]
    evaluate_all(tasks)
    return [trained(trial, chosen[trial.number], places, chosen_only) for trial in trials]


def counts(trial: Trial, split: str, chosen: int, chosen_only: bool) -> list[int]:
    """The refinement step counts at which a trial is evaluated: fewer on the shifted split."""
    if chosen_only:
        return [chosen]
    return sorted(trial.scores if split == "test" else trial.scores.keys() & {1, 3, chosen})


def trained(trial: Trial, chosen: int, places: Mapping[str, Path], chosen_only: bool) -> Trained:
    """A completed trial with its evaluations."""
    assert trial.last is not None
    test, shifted = (
        {
            k: scores_of(weights.verify(place / f"{trial.number}-{k}"))
            for k in counts(trial, split, chosen, chosen_only)
        }
        for split, place in places.items()
    )
    losses = trial.last.losses
    shares = {name.removeprefix("share_"): x for name, x in losses.items() if name.startswith("share_")}
    seconds = sum(float(report.training_seconds) for report in trial.reports.values())
    params = trial.params
    named = params["system"], params["seed"], chosen, trial.scores
    return Trained(*named, test, shifted, shares, seconds, trial.last.checkpoint)


def evaluate_all(tasks: Sequence[Evaluation]) -> None:
    """What is not published yet; processes of their own, one a core."""
    from rich.progress import track

    missing = [task for task in tasks if not (task.folder / weights.MANIFEST).is_file()]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in track(pool.map(evaluate, missing), "evaluating", total=len(missing), console=console):
            pass
