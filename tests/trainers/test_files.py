"""One process at a time fills a cache; the next one waits and finds it filled."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainers.files import one_at_a_time, write_text

ROOT = Path(__file__).parents[2]
FILL = """
import sys, time
from pathlib import Path
from trainers.files import one_at_a_time

folder, name = Path(sys.argv[1]), sys.argv[2]
with one_at_a_time(folder / "new" / "lock", lambda: print("waiting", flush=True)):
    made = folder / "made"
    if not made.exists():
        print("makes", flush=True)
        sys.stdin.readline()
        if name == "killed":
            time.sleep(60)
        made.write_text(name)
print(made.read_text(), flush=True)
"""


def start(folder: Path, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", FILL, str(folder), name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload, no-any-return]


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_the_second_process_waits_and_finds_what_the_first_has_made(tmp_path: Path) -> None:
    first = start(tmp_path, "first")
    assert line(first) == "makes"
    second = start(tmp_path, "second")
    assert line(second) == "waiting"
    out, _ = first.communicate("go\n")
    assert out.split() == ["first"] and second.communicate()[0].split() == ["first"]
    assert start(tmp_path, "third").communicate()[0].split() == ["first"]


def test_a_killed_process_is_not_waited_for(tmp_path: Path) -> None:
    first = start(tmp_path, "killed")
    assert line(first) == "makes"
    second = start(tmp_path, "second")
    assert line(second) == "waiting"
    first.kill()
    first.communicate()
    assert line(second) == "makes"
    assert second.communicate("go\n")[0].split() == ["second"]


def test_several_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.txt", [letter * 10_000 for letter in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda text: [write_text(path, text) for _ in range(50)], texts))
    assert path.read_text() in texts and list(tmp_path.iterdir()) == [path]


def test_the_lock_is_given_back_after_an_error_and_a_text_is_replaced_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        try:
            with one_at_a_time(tmp_path / "lock", lambda: None):
                raise KeyError
        except KeyError:
            pass
    for text in ("one", "two"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_text() == text
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "lock"}
