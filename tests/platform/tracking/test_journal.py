"""The journal under torn lines and full disks, and how its events merge."""

import json
import os
from pathlib import Path
from platform.tracking.journal import Journal
from platform.tracking.replay import gather
from typing import Any

import pytest

from trainers.errors import InputError


def test_a_torn_last_line_and_a_spoilt_line_cost_only_themselves(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(3):
        journal.append({"n": number})
    journal.close()
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b"\x00\x00\n" + lines[2] + b'{"n": 3, "to')
    journal = Journal(tmp_path)
    journal.append({"n": 4})
    assert [event["n"] for event in journal.pending(10).events] == [0, 2, 4]
    assert [event["n"] for event in journal.pending(2).events] == [0, 2]
    journal.acknowledge(journal.pending(2).end)
    assert (journal.unsent(), Journal(tmp_path).pending(10).events) == (1, [{"n": 4}])


def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append({"n": 0})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:4]))
    with pytest.raises(InputError, match=r"journal\.jsonl: cannot append 8 bytes"):
        journal.append({"n": 1})
    monkeypatch.undo()
    journal.append({"n": 2})
    assert [json.loads(line) for line in journal.path.read_text().splitlines()] == [{"n": 0}, {"n": 2}]


def test_gather_keeps_the_first_parameter_and_metric_and_the_last_tag_and_status() -> None:
    events: list[dict[str, Any]] = [
        {"time": 1, "trial": 0, "params": {"a": "1"}, "tags": {"t": "1"}, "status": "RUNNING"},
        {"time": 2, "trial": 0, "metrics": {"m": 1.0}, "step": 5},
        {"time": 3, "trial": 0, "metrics": {"m": 2.0}, "step": 5},
        {"time": 4, "trial": 0, "params": {"a": "2", "b": "3"}, "tags": {"t": "2"}, "status": "FINISHED"},
    ]
    delta = gather(events)[0]
    assert delta.params == {"a": "1", "b": "3"}
    assert delta.metrics == {("m", 5): (1.0, 2)}
    assert (delta.tags, delta.status, delta.start, delta.end) == ({"t": "2"}, "FINISHED", 1, 4)
