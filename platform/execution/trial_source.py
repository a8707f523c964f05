"""Reports of trials as the ledger keeps them and as MLflow takes them."""

import math
from collections.abc import Mapping
from platform.storage.ledger import Status
from platform.tracking.recorder import Status as RunStatus
from typing import Any

from trainers.report import Report


def plain(report: Report) -> dict[str, Any]:
    """A report as the ledger keeps it."""
    scores = {str(count): dict(scores) for count, scores in report.scores.items()}
    return {**vars(report), "scores": scores, "losses": dict(report.losses)}


def heard(kept: Mapping[str, Any]) -> Report:
    """The report that the ledger keeps as ``plain``."""
    return Report(**{**kept, "scores": {int(count): scores for count, scores in kept["scores"].items()}})


def run_status(status: Status) -> RunStatus:
    """What MLflow calls the end of a trial."""
    return "FINISHED" if status == "completed" else "FAILED"


def not_finite(report: Report) -> str:
    """Which score is not finite, or nothing."""
    for count, scores in sorted(report.scores.items()):
        for name, value in scores.items():
            if not math.isfinite(value):
                return f"diverged at step {report.step}: {name} at {count} refinement steps is {value}"
    return ""


def flat_metrics(report: Report) -> dict[str, float]:
    """A report as MLflow metrics: ``fid/3`` is the FID at three refinement steps, ``fid`` at the most."""
    metrics = {f"loss/{name}": value for name, value in report.losses.items()} | {"seconds": report.seconds}
    for count, values in report.scores.items():
        metrics |= {f"{name}/{count}": value for name, value in values.items()}
    return metrics | dict(report.scores[max(report.scores)])
