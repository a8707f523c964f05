"""Reports and ends of trials as MLflow metrics, statuses and tags."""

from platform.execution.mlflow_listener import MlflowListener, flat_metrics
from platform.storage.trials import Trial
from typing import Any

import pytest

from trainers.report import Report

SCORES = {1: {"fid": 3.0, "ms_ssim": 0.9}, 2: {"fid": 3.5, "ms_ssim": 0.45}}
REPORT = Report(5, 10, SCORES, {"gan": 0.25}, 1.5, "/c/5")


def test_metrics_are_flat_with_the_most_steps_under_plain_names() -> None:
    assert flat_metrics(REPORT) == {
        "loss/gan": 0.25,
        "seconds": 1.5,
        **{"fid/1": 3.0, "ms_ssim/1": 0.9, "fid/2": 3.5, "ms_ssim/2": 0.45},
        **{"fid": 3.5, "ms_ssim": 0.45},
    }


@pytest.mark.parametrize(
    ("status", "run_status"), [("completed", "FINISHED"), ("diverged", "FAILED"), ("failed", "FAILED")]
)
def test_every_report_and_the_end_are_recorded(status: Any, run_status: str, calls: Any) -> None:
    listener, trial = MlflowListener(calls), Trial(3, {}, status, "a reason")
    listener.reported(trial, REPORT)
    listener.rejected(trial, REPORT)
    listener.ended(trial)
    recorded = ("metrics", 3, flat_metrics(REPORT), 5)
    ending = ("finish", 3, run_status, {"status": status, "reason": "a reason"})
    assert calls.calls == [recorded, recorded, ending]
