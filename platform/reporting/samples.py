"""The sample slices that a trial leaves in its checkpoint, as a picture."""

from pathlib import Path
from platform.reporting import figures
from platform.storage.ledger import Trial

from trainers import weights


def draw_samples(trial: Trial, path: Path) -> Path:
    """Input, output, 3 T and difference of each contrast at the most refinement steps."""
    assert trial.last is not None
    slices = weights.read_tensors(Path(trial.last["checkpoint"]), "samples")
    path.parent.mkdir(parents=True, exist_ok=True)
    contrasts = sorted({title.partition(" ")[0] for title in slices})
    kinds = ("input", "output", "3 T")
    titles = [[title for n in kinds if (title := f"{contrast} {n}") in slices] for contrast in contrasts]
    subjects = range(len(slices[titles[0][0]]))
    rows = [{title: slices[title][s].numpy() for title in row} for s in subjects for row in titles]
    return figures.sample_figure(rows, path, f"trial {trial.number}, {max(trial.scores)} refinement steps")
