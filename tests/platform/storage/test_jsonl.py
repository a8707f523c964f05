"""JSON lines: incomplete and unreadable lines, a full disk, several threads, and kills."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from platform.storage.jsonl import JsonLines, read_lines

import pytest

from trainers.errors import EnvironmentFault

ROOT = Path(__file__).parents[3]


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_entries_are_read_back_with_their_offsets(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "a" / "b" / "log.jsonl")
    entries = [{"n": 0}, {"text": "ü\n\u2028", "nested": {"x": [1, None, True]}}, {"n": 2.5}]
    offsets = [lines.append(entry) for entry in entries]
    with pytest.raises(ValueError, match="not JSON compliant"):
        lines.append({"n": float("nan")})
    assert list(lines.read()) == list(zip(entries, offsets, strict=True))
    assert list(lines.read(offsets[0])) == list(zip(entries, offsets, strict=True))[1:]
    assert offsets[-1] == lines.end == lines.path.stat().st_size
    assert lines.path.read_bytes().count(b"\n") == len(entries)


@pytest.mark.parametrize("cut", range(1, 9))
@pytest.mark.parametrize("whole", [b"", b'{"n":0}\n{"n":1}\n'])
def test_an_incomplete_last_line_is_cut_off_by_a_writer_only(tmp_path: Path, whole: bytes, cut: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(raw := whole + b'{"n":22}\n'[:-cut])
    assert [entry for entry, _ in read_lines(path)] == [{"n": 0}, {"n": 1}][: len(whole)]
    assert path.read_bytes() == raw
    lines = JsonLines(path)
    assert path.read_bytes() == whole and lines.end == len(whole)
    lines.append({"n": 3})
    assert numbers(path) == [0, 1, 3][0 if whole else 2 :]


@pytest.mark.parametrize(
    "line", [b"\x00\x00", b"\xff\xfe{", b"{", b"[1]", b"3", b'"ab"', b'["ab"]', b"null", b""]
)
def test_a_line_that_is_no_object_is_logged_and_skipped(
    tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":0}\n' + line + b'\n{"n":1}\n')
    with caplog.at_level(logging.WARNING):
        assert [entry for entry, _ in read_lines(path)] == [{"n": 0}, None, {"n": 1}]
    assert str(path) in caplog.text


def test_a_full_disk_is_an_error_and_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = JsonLines(tmp_path / "log.jsonl")
    lines.append({"n": 0})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:3]))
    with pytest.raises(EnvironmentFault, match=r"log\.jsonl: cannot append 8 bytes: only 3 bytes were"):
        lines.append({"n": 1})
    monkeypatch.undo()
    lines.append({"n": 2})
    assert numbers(lines.path) == [0, 2]


def test_on_a_full_disk_a_line_waits_for_room(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = JsonLines(small_disk / "log.jsonl", patience=60.0)
    lines.append({"n": 0})
    (small_disk / "other").write_bytes(b"x" * (2**20 - 4096))
    freed = threading.Timer(0.7, (small_disk / "other").unlink)
    freed.start()
    with caplog.at_level(logging.WARNING):
        lines.append({"n": 1, "pad": "x" * 8192})
    assert numbers(lines.path) == [0, 1] and not (small_disk / "other").exists()
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("; waiting for room (at most 1 minutes)")
    (small_disk / "other").write_bytes(b"x" * (2**20 - 12 * 4096))
    lines._patience = 0.6
    with pytest.raises(EnvironmentFault, match="cannot append"):
        lines.append({"n": 2, "pad": "x" * 2**17})
    assert numbers(lines.path) == [0, 1]
    lines.close()


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "log.jsonl")

    def write(writer: int) -> None:
        for i in range(100):
            lines.append({"n": writer * 100 + i, "pad": "x" * 500})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    written = numbers(lines.path)
    assert sorted(written) == list(range(400))
    for writer in range(4):
        assert [n for n in written if n // 100 == writer] == list(range(100 * writer, 100 * writer + 100))


def test_acknowledged_lines_outlive_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom platform.storage.jsonl import JsonLines\n"
        "lines, n = JsonLines(Path(sys.argv[1])), 0\n"
        "while True:\n    lines.append({'n': n, 'pad': 'x' * 5000})\n    print(n, flush=True)\n    n += 1\n"
    )
    path = tmp_path / "log.jsonl"
    command = [sys.executable, "-c", program, str(path)]
    for kill in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            last = [writer.stdout.readline() for _ in range(50 + kill)][-1]
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().splitlines()
        acknowledged = int([last, *rest][-1] or last)
        lines = JsonLines(path)
        entries = [entry["n"] for entry, _ in lines.read() if entry is not None]
        assert entries[: acknowledged + 1] == list(range(acknowledged + 1))
        lines.close()
        path.unlink()
