"""How events of a run are merged."""

from platform.tracking.replay import gather
from typing import Any


def test_the_first_parameter_and_metric_and_the_last_tag_and_status_stay() -> None:
    events: list[dict[str, Any]] = [
        {"time": 1, "trial": 0, "params": {"a": "1"}, "tags": {"t": "1"}, "status": "RUNNING"},
        {"time": 2, "trial": 0, "metrics": {"m": 1.0}, "step": 5},
        {"time": 3, "trial": 0, "metrics": {"m": 2.0}, "step": 5},
        {"time": 4, "trial": 0, "params": {"a": "2", "b": "3"}, "tags": {"t": "2"}, "status": "FINISHED"},
    ]
    changes = gather(events)[0]
    assert changes.params == {"a": "1", "b": "3"}
    assert changes.metrics == {("m", 5): (1.0, 2)}
    assert (changes.tags, changes.status) == ({"t": "2"}, "FINISHED")
    assert (changes.start, changes.end) == (1, 4)
