"""MLflow as a listener of trials."""

from platform.execution.trial_source import TrialListener
from platform.storage.trials import Trial, TrialStatus
from platform.tracking.recorder import Recorder, RunStatus

from trainers.report import Report


class MlflowListener(TrialListener):
    """Records reports and ends of trials in their MLflow runs."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def reported(self, trial: Trial, report: Report) -> None:
        """The rung's metrics."""
        self.recorder.metrics(trial.number, flat_metrics(report), report.step)

    def rejected(self, trial: Trial, report: Report) -> None:
        """The rung's metrics, the one that is not finite as a tag."""
        self.reported(trial, report)

    def ended(self, trial: Trial) -> None:
        """The run's end."""
        self.recorder.finish(trial.number, run_status(trial.status), self.end_tags(trial))

    def end_tags(self, trial: Trial) -> dict[str, str]:
        """Tags of a run that ends."""
        return {"status": trial.status, "reason": trial.reason}


def run_status(status: TrialStatus) -> RunStatus:
    """MLflow's name of a trial's end."""
    return "FINISHED" if status == "completed" else "FAILED"


def flat_metrics(report: Report) -> dict[str, float]:
    """A report as MLflow metrics: ``fid/3`` is the FID at three refinement steps, ``fid`` at the most."""
    metrics = {f"loss/{name}": value for name, value in report.losses.items()} | {"seconds": report.seconds}
    for count, values in report.scores.items():
        metrics |= {f"{name}/{count}": value for name, value in values.items()}
    return metrics | dict(report.most_refined)
