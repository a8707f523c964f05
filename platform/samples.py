"""The sample slices that a trial leaves in its checkpoint, as a picture."""

from pathlib import Path
from platform import report
from platform.ledger import Trial

from trainers import weights


def draw_samples(trial: Trial, path: Path) -> Path:
    """Input, output, 3 T and difference of T1 and T2 (two channels) at the most refinement steps."""
    assert trial.last is not None
    slices = weights.read_tensors(Path(trial.last["checkpoint"]), "samples")
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("input", "output", "3 T")
    rows = [
        {f"{contrast} {name}": ((slices[name][subject, channel] + 1) / 2).numpy() for name in names}
        for subject in range(len(slices["input"]))
        for channel, contrast in enumerate(("T1", "T2"))
    ]
    return report.sample_figure(rows, path, f"trial {trial.number}, {max(trial.scores)} refinement steps")
