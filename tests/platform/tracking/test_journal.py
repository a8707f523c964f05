"""The journal with damaged lines and on a full disk."""

import json
import os
from pathlib import Path
from platform.tracking.journal import Journal

import pytest

from trainers.errors import InputError


def test_an_incomplete_last_line_and_a_damaged_line_cost_only_themselves(tmp_path: Path) -> None:
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


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append({"n": 0})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:4]))
    with pytest.raises(InputError, match=r"journal\.jsonl: cannot append 8 bytes"):
        journal.append({"n": 1})
    monkeypatch.undo()
    journal.append({"n": 2})
    assert [json.loads(line) for line in journal.path.read_text().splitlines()] == [{"n": 0}, {"n": 2}]
