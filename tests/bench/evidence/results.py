"""The trainings of a comparison with their scores on every split."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from platform.execution.evaluation_tasks import is_done
from platform.reporting.console import console
from platform.stats.scores import Score, scores_of
from platform.storage.ledger import read_trials
from platform.storage.trials import Trial

from tests.bench.evidence.plan import FULL, RESTORED
from trainers import weights
from trainers.data.writer import find
from trainers.evaluate import Evaluation, evaluate

STEPPED = (FULL, FULL + RESTORED)
"""Systems that are evaluated on the test split at further refinement step counts: :data:`STEPS`."""
STEPS = set(range(1, 6))
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
    checkpoint: str = ""


def completed(folder: Path) -> list[Trial]:
    """The completed trials of a study's or comparison's folder."""
    return read_trials(folder).of_status("completed")


def origin(folder: Path, root: Path) -> tuple[Path, Path]:
    """The cohort and the references of a comparison."""
    last = completed(folder)[0].last
    assert last is not None
    facts = weights.read_manifest(Path(last.checkpoint))
    cohort = find(root, facts["cohort"])
    assert cohort is not None
    return cohort, root / "references" / facts["references"][:16]


def read(folder: Path, root: Path) -> list[Trained]:
    """Every training of a comparison; the full method's are evaluated at other step counts too."""
    newest = {(t.params["system"], t.params["seed"]): t for t in completed(folder)}
    trials, results = list(newest.values()), folder / "results"
    cohort, references = origin(folder, root)
    places = {trial.number: folders(trial, results) for trial in trials}
    tasks = [
        Evaluation(trial.last.checkpoint, k, cohort, references, place, split)
        for trial in trials
        if trial.last
        for split, by_count in places[trial.number].items()
        for k, place in by_count.items()
    ]
    evaluate_all(tasks)
    return [trained(trial, places[trial.number]) for trial in trials]


def folders(trial: Trial, results: Path) -> dict[str, dict[int, Path]]:
    """Where the evaluations of a trial are, by split and step count: first the one that was chosen."""
    found: dict[str, dict[int, Path]] = {}
    for split, place in (("test", results), ("shifted", results / "shifted")):
        own = place / str(trial.number)
        chosen = int(weights.verify(own)["steps"])
        stepped = split == "test" and trial.params["system"] in STEPPED
        more = STEPS & trial.scores.keys() if stepped else set()
        others = {k: results / "steps" / split / f"{trial.number}-{k}" for k in sorted(more - {chosen})}
        found[split] = {chosen: own, **others}
    return found


def trained(trial: Trial, places: Mapping[str, Mapping[int, Path]]) -> Trained:
    """A completed trial with its evaluations."""
    assert trial.last is not None
    test, shifted = (
        {k: scores_of(weights.verify(folder)) for k, folder in places[split].items()}
        for split in ("test", "shifted")
    )
    losses = trial.last.losses
    shares = {name.removeprefix("share_"): x for name, x in losses.items() if name.startswith("share_")}
    named = trial.params["system"], trial.params["seed"], next(iter(test)), trial.scores
    return Trained(*named, test, shifted, shares, trial.last.checkpoint)


def evaluate_all(tasks: Sequence[Evaluation]) -> None:
    """What is not published yet; processes of their own, one a core."""
    from rich.progress import track

    missing = [task for task in tasks if not is_done(task)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in track(pool.map(evaluate, missing), "evaluating", total=len(missing), console=console):
            pass
