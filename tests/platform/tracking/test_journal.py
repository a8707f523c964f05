"""The journal with damaged lines."""

from pathlib import Path
from platform.tracking.journal import Journal


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
