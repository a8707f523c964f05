"""What follows a trial's events in a search: its MLflow run, and pictures of its samples."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform.execution.mlflow_listener import MlflowListener
from platform.execution.trial_source import TrialListener
from platform.orchestration.progress import Progress
from platform.reporting.figures import draw_samples
from platform.storage import movable
from platform.storage.ledger import Ledger
from platform.storage.trials import Trial
from platform.tracking.recorder import Recorder

from trainers.loop import Task

log = logging.getLogger(__name__)


class StudyRecorder(MlflowListener):
    """The runs of a search's trials, and the front's growth in the parent run."""

    def __init__(self, recorder: Recorder, progress: Progress) -> None:
        super().__init__(recorder)
        self._progress = progress

    def started(self, trial: Trial, task: Task) -> None:
        """The run with its parameters."""
        self.recorder.trial(trial.number, trial.params, {"method": task.method, "status": "running"})

    def paused(self, trial: Trial) -> None:
        """The run waits."""
        self.recorder.finish(trial.number, "SCHEDULED", {"status": "paused", "reason": trial.reason})

    def ended(self, trial: Trial) -> None:
        """The run's end, and the study's hypervolume."""
        super().ended(trial)
        volumes = self._progress.hypervolumes()
        if volumes:
            values = {"hypervolume": volumes[-1], "front_size": len(self._progress.members())}
            self.recorder.study_metrics(values, len(volumes))

    def end_tags(self, trial: Trial) -> dict[str, str]:
        """Tags of a run that ends."""
        tags = super().end_tags(trial) | {"seconds": f"{trial.seconds:.1f}"}
        if trial.last is None:
            return tags
        folder = self._progress.ledger.folder
        return tags | {"checkpoint": movable.kept(folder, Path(trial.last.checkpoint))}

    def closed(self, ledger: Ledger) -> None:
        """Trials that still wait, at a rung or after a fault, are not started again by this driver."""
        for trial in ledger.of_status("paused", "open"):
            self.recorder.finish(trial.number, "KILLED", {"status": "stopped", "reason": trial.reason})


class SamplePictures(TrialListener):
    """A picture of each completed trial's sample slices, drawn in a thread beside the driver's work."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self._folder, self._recorder = folder, recorder
        self._thread = ThreadPoolExecutor(1)

    def ended(self, trial: Trial) -> None:
        """Draw it, unless it exists."""
        self._thread.submit(self._draw, trial)

    def closed(self, ledger: Ledger) -> None:
        """Draw what an interrupted driver has not drawn, and wait."""
        for trial in ledger.of_status("completed"):
            self._thread.submit(self._draw, trial)
        self._thread.shutdown()

    def _draw(self, trial: Trial) -> None:
        path = self._folder / f"trial-{trial.number:05d}.png"
        if trial.status != "completed" or path.exists():
            return
        try:
            self._recorder.artifact(trial.number, draw_samples(trial, path))
        except Exception as error:  # a missing picture must not end a study
            log.warning("trial %d: its samples cannot be drawn: %s", trial.number, error)
