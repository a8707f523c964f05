"""Sealed lines: what a damaged, cut, older or newer file says, and what a driver makes of it."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from platform.storage.jsonl import JsonObject
from platform.storage.sealed_lines import Log, open_log, read_log, seal

import pytest

from trainers.errors import InputError

ENTRIES: list[JsonObject] = [
    {"event": "proposed", "trial": n, "params": {"lr": 0.1 * n, "norm": None, "name": "\u00fc\n"}}
    for n in range(4)
]
NUMBERED = [{**entry, "seq": n} for n, entry in enumerate(ENTRIES, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "log.jsonl", ENTRIES)
    return tmp_path / "log.jsonl"


def write(path: Path, entries: Sequence[JsonObject]) -> list[int]:
    _, lines = open_log(path)
    numbers = [lines.append(entry, durable=True) for entry in entries]
    lines.close()
    return numbers


def test_entries_are_read_back_with_their_numbers(path: Path) -> None:
    assert read_log(path) == Log(2, NUMBERED, 5)
    assert write(path, [{"more": 1.5}]) == [5]
    assert read_log(path) == Log(2, [*NUMBERED, {"more": 1.5, "seq": 5}], 6)
    assert read_log(path.with_name("missing")) == Log(2, [], 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_flipped_bit_is_taken_as_true(path: Path) -> None:
    """Every bit of the file, one after another; of the other entries none is lost."""
    whole = path.read_bytes()
    for at in range(8 * len(whole)):
        raw = bytearray(whole)
        raw[at // 8] ^= 1 << at % 8
        path.write_bytes(raw)
        found = read_log(path).entries
        assert [entry for entry in NUMBERED if entry in found] == found, at
        assert len(found) >= len(NUMBERED) - 2, "a newline less joins two lines"


def test_a_file_that_is_cut_loses_the_incomplete_line_alone(path: Path) -> None:
    whole = path.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for size in {*ends, 0, *range(ends[-3], len(whole))}:
        path.write_bytes(whole[:size])
        entries = NUMBERED[: max(0, sum(end <= size for end in ends) - 1)]
        assert read_log(path).entries == entries and path.stat().st_size == size
        write(path, [{"n": 1}])
        assert [{**entry, "seq": 0} for entry in read_log(path).entries] == [
            {**entry, "seq": 0} for entry in [*entries, {"n": 1}]
        ]
        assert list(path.parent.iterdir()) == [path]


def test_damaged_lines_are_named_and_kept_aside_by_the_next_writer(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(raw := b"".join([*lines[:2], lines[2].replace(b"0.1", b"0.7"), *lines[3:], b"{}\n"]))
    with caplog.at_level(logging.WARNING):
        found = read_log(path)
    assert (found.damaged, found.lost) == ((3, 6), 2) and path.read_bytes() == raw
    assert f"{path}: line 3 is damaged and not used" in caplog.text and "line 6" in caplog.text
    for aside in ("log.damaged-1.jsonl", "log.damaged-2.jsonl"):
        path.write_bytes(raw)
        write(path, [{"n": 1}])
        assert (path.with_name(aside)).read_bytes() == raw
        kept = [ENTRIES[0], *ENTRIES[2:], {"n": 1}]
        assert read_log(path) == Log(2, [{**entry, "seq": n} for n, entry in enumerate(kept, 1)], 5)


@pytest.mark.parametrize(
    ("order", "good", "damaged", "lost"),
    [
        ((0, 1, 3, 4), (1, 3, 4), (), 1),
        ((1, 2, 3, 4), (1, 2, 3, 4), (), 1),
        ((0, 1, 2, 2, 3, 4), (1, 2, 3, 4), (4,), 1),
        ((0, 1, 3, 2, 4), (1, 3, 4), (4,), 1),
    ],
)
def test_missing_repeated_and_exchanged_lines_are_found(
    path: Path, order: Sequence[int], good: Sequence[int], damaged: tuple[int, ...], lost: int
) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[n] for n in order))
    assert read_log(path) == Log(2, [NUMBERED[n - 1] for n in good], 5, damaged, lost)


def test_a_file_of_an_earlier_version_is_read_and_written_anew(path: Path) -> None:
    raw = "".join(json.dumps(entry) + "\n" for entry in ENTRIES)
    path.write_text(raw)
    assert read_log(path) == Log(1, NUMBERED, 5) and path.read_text() == raw
    write(path, [{"n": 1}])
    assert read_log(path) == Log(2, [*NUMBERED, {"n": 1, "seq": 5}], 6)
    assert path.with_name("log.format-1-1.jsonl").read_text() == raw


def test_a_file_of_a_newer_version_is_refused_as_it_is(path: Path) -> None:
    path.write_bytes(raw := seal({"format": 3}, 0) + b"\n" + seal(ENTRIES[0], 1) + b"\n")
    for opened in (read_log, open_log):
        with pytest.raises(
            InputError, match=r"log\.jsonl: is of format 3, of a newer version.*allowed: up to 2$"
        ):
            opened(path)
    assert path.read_bytes() == raw and list(path.parent.iterdir()) == [path]
