"""The commands as one set: each is listed, explains itself, and starts without the slow libraries."""

import importlib
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from platform import cli, prepare, translate
from typing import Any, get_args

import pytest

from trainers import VERSION
from trainers.cohorts.base import find_source, source_names
from trainers.cohorts.preprocessing.skullstrip import BrainMask
from trainers.data.store import SHIFTED, SPLITS
from trainers.errors import EnvironmentFault, InputError

ROOT = Path(__file__).parents[2]
SLOW = {"torch", "ray", "mlflow", "optuna", "scipy", "matplotlib", "pandas", "nibabel", "sklearn"}


def output(command: str, option: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints on an option, on which it exits."""
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module(f"platform.{command}").arguments([option])
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_every_command_is_listed_and_loads_no_slow_library() -> None:
    files = {path.stem for path in (ROOT / "platform").glob("*.py")} - {"__init__", "__main__", "cli"}
    assert files == set(cli.COMMANDS)
    sources = {find_source(name).prepare.__module__ for name in source_names()}
    names = ", ".join([*(f"platform.{name}" for name in cli.COMMANDS), *sources])
    code = f"import sys, {names}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert SLOW & set(done.stdout.split()) == set()


def test_the_package_lists_the_commands() -> None:
    command = [sys.executable, "-m", "platform"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [line for line in lines if line and line[0] in cli.COMMANDS] == [
        [name, sentence] for name, sentence in cli.COMMANDS.items()
    ]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_starts_with_a_sentence_and_ends_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = output(command, "--help", capsys).splitlines()
    assert lines[0].lower() == f"{cli.COMMANDS[command]}.".lower() and lines[0][0].isupper()
    *prefix, name = (words := shlex.split(lines[-1]))[:3]
    assert (prefix, name) == (["python", "-m"], f"platform.{command}")
    importlib.import_module(name).arguments(words[3:])
    assert output(command, "--version", capsys).strip() == f"python -m platform.{command} {VERSION}"


def test_choices_that_commands_repeat_are_those_of_the_library() -> None:
    assert get_args(BrainMask) == translate.BRAIN_MASKS
    assert (*SPLITS, SHIFTED) == prepare.SPLITS


def test_a_hint_is_a_command_with_the_same_options() -> None:
    values = {"resume": "a", "storage": Path("my runs"), "address": None, "confirm": 5}
    expected = "to resume: python -m platform.search --resume a --storage 'my runs' --confirm 5"
    assert cli.resume_hint("search", values) == expected


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (None, 0, ""),
        (InputError("--top: 0 is not allowed"), 2, "error: --top: 0 is not allowed\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (EnvironmentFault("/x: no room for 8 bytes"), 3, "error: /x: no room for 8 bytes\n"),
        (OSError(28, "No space left", "/x/y"), 3, "error: [Errno 28] No space left: '/x/y'\n"),
    ],
)
def test_how_a_command_ends_is_its_exit_code(
    raised: BaseException | None, code: int, line: str, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: object) -> None:
        if raised is not None:
            raise raised

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "leave", leave)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as exit_:
        cli.run(main)
    assert exit_.value.code == code and capsys.readouterr().err == line


@pytest.mark.parametrize("again", ["raise", "raise KeyboardInterrupt"])
def test_after_sigterm_the_exit_code_is_143_whatever_a_library_makes_of_it(again: str) -> None:
    program = (
        "import os, signal\nfrom platform import cli\n"
        "def main(argv):\n    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        f"    except KeyboardInterrupt:\n        {again}\n"
        "cli.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "interrupted\n")
