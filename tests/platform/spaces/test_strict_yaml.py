"""The strict reader against the YAML 1.2.2 specification, and against malicious files."""

import os
import time
from pathlib import Path
from platform.spaces import strict_yaml
from typing import Any

import pytest

from trainers.errors import InputError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "space.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load_text(folder: Path, text: str | bytes) -> strict_yaml.Document:
    return strict_yaml.load(write(folder, text))


SCALARS: list[tuple[str, Any]] = [
    # YAML 1.2.2, section 10.3: the core schema and its example 10.9
    *[(text, None) for text in ("null", "Null", "NULL", "~", "")],
    *[("true", True), ("True", True), ("FALSE", False), ("false", False)],
    *[("0", 0), ("0o7", 7), ("0x3A", 58), ("-19", -19), ("+12", 12)],
    *[("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -200000.0)],
    # what YAML 1.1 reads otherwise
    *[("1e-4", 1e-4), ("1E5", 1e5), ("010", 10), ("1:30", "1:30"), ("190:20:30", "190:20:30")],
    *[
        (text, text)
        for text in ("on", "off", "yes", "no", "y", "N", "On", "1_000", "0b11", "2024-01-31", "=", "<<")
    ],
    # plain text and quotes
    *[("2mm", "2mm"), ("'1e-4'", "1e-4"), ('"true"', "true"), ("''", ""), ("1.2.3", "1.2.3"), ("1e", "1e")],
    *[("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), (".", "."), ("e5", "e5")],
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_follow_the_core_schema(tmp_path: Path, text: str, value: Any) -> None:
    loaded = load_text(tmp_path, f"key: {text}\n").data["key"]
    assert loaded == value and type(loaded) is type(value)


def test_every_key_has_its_line(tmp_path: Path) -> None:
    text = "# a comment\na: 1\n\nb:\n  c: [1,\n      2]\n  'd e': {f: x}\ng:\n- h: 1\n"
    document = load_text(tmp_path, text)
    assert document.data == {"a": 1, "b": {"c": [1, 2], "d e": {"f": "x"}}, "g": [{"h": 1}]}
    lines = {("a",): 2, ("b",): 4, ("b", "c"): 5, ("b", "c", 0): 5, ("b", "c", 1): 6, ("b", "d e"): 7}
    lines |= {("b", "d e", "f"): 7, ("g",): 8, ("g", 0): 9, ("g", 0, "h"): 9, (): 2}
    assert document.lines == lines


def test_an_error_at_a_missing_key_has_the_line_of_its_section(tmp_path: Path) -> None:
    document = load_text(tmp_path, "a:\n  b: [1, 2]\n")
    assert str(document.error(("a", "b", 1), "wrong")).endswith("space.yaml:2: a.b[1]: wrong")
    assert str(document.error(("a", "missing"), "absent")).endswith("space.yaml:1: a.missing: absent")


BAD: list[tuple[str | bytes, int, str]] = [  # text, line, part of the message
    *[("", 1, "empty"), ("# only a comment\n", 1, "empty"), ("just text\n", 1, "mapping")],
    *[("- a\n- b\n", 1, "mapping"), ("\n\n3\n", 3, "mapping"), ("a: 1\nb: &x 2\n", 2, "&x")],
    *[("a: 1\nb: *x\n", 2, "*x"), ("&top a: 1\n", 1, "&top")],
    *[("a: 1\nb: !!python/object:os.system x\n", 2, "tag"), ("a: !!str 1\n", 1, "tag")],
    *[("a: ! 1\n", 1, "tag"), ("a: !mine {b: 1}\n", 1, "tag")],
    ("a: 1\nb: 2\na: 3\n", 3, "a: duplicate key, first on line 1"),
    *[("a: {b: 1, b: 2}\n", 1, "b: duplicate key"), ("a: 1\n'a': 2\n", 2, "duplicate")],
    *[("a: 1\n1: 2\n", 2, "a key must be text"), ("true: 2\n", 1, "a key must be text")],
    *[("a: 1\n? [x]\n: 2\n", 2, "a key must be text"), ("a: 1\n?\n: 2\n", 2, "a key must be text")],
    *[("a: 1\n: 2\n", 2, "found ':'"), ("a: .inf\n", 1, ".inf"), ("a: -.INF\n", 1, "finite")],
    *[("a: 1\nb: .nan\n", 2, ".nan"), ("a: 1e999\n", 1, "finite")],
    *[("a: 9223372036854775808\n", 1, "64 bits"), ("a: -9223372036854775809\n", 1, "64 bits")],
    *[(f"a: {'9' * 5000}\n", 1, "64 bits"), (f"a: 0x{'f' * 5000}\n", 1, "64 bits")],
    *[("a: 1\n---\nb: 2\n", 2, "second document"), ("a: [1, 2\nb: 3\n", 2, "expected")],
    *[("a: 1\n b: 2\n", 2, "mapping values are not allowed"), ("a: 'open\n", 2, "quoted scalar")],
    *[("a: 1\n\tb: 2\n", 2, "\\t"), ('a: "\\q"\n', 1, "escape"), ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "not YAML")],
    *[('a: "\\ud800"\n', 1, "Unicode"), ("%YAML 1." + "1" * 5000 + "\n---\na: 1\n", 1, "not YAML")],
    *[("%YAML 3.0\n---\na: 1\n", 1, "version"), ("a: 1\nb: \x00\n", 2, "not allowed")],
    *[(b"a: 1\nb: \xff\n", 2, "UTF-8"), ("a: 1\n".encode("utf-16"), 1, "UTF-8")],
    ("a: é\n".encode("latin-1"), 1, "UTF-8"),
    ("a:\n" + "".join("  " * i + f"k{i}:\n" for i in range(1, 25)), 21, "20 levels"),
    *[("a: " + "[" * 20 + "]" * 20 + "\n", 1, "20 levels"), ("a: 1\nb: @x\n", 2, "cannot start any token")],
    *[("a: 1\nb: 1\n}\n", 3, "expected"), ("a: |\n  x\nb\n", 4, "expected ':'")],
]


@pytest.mark.parametrize(("text", "line", "part"), BAD)
def test_an_error_is_one_line_with_its_place(tmp_path: Path, text: str, line: int, part: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/space.yaml:{line}: ")
    assert part in message and message.isprintable() and len(message) < 400


def test_twenty_levels_are_allowed(tmp_path: Path) -> None:
    value = load_text(tmp_path, "a: " + "[" * 19 + "]" * 19 + "\n").data["a"]
    for _ in range(18):
        (value,) = value
    assert value == []


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{" * 5000, "a: " + "[" * 5000, BOMB, "a: " + "{x: " * 5000, "- " * 5000]
)
def test_bombs_are_refused_at_once(tmp_path: Path, text: str) -> None:
    start = time.process_time()
    with pytest.raises(InputError):
        load_text(tmp_path, text)
    assert time.process_time() - start < 1


def test_a_file_at_the_limit_is_read_and_one_beyond_is_not(tmp_path: Path) -> None:
    start = b"a: 1\n#"
    limit = strict_yaml.MAX_BYTES
    assert load_text(tmp_path, start + b"x" * (limit - len(start))).data == {"a": 1}
    with pytest.raises(InputError, match="1: larger than 256 KiB"):
        load_text(tmp_path, start + b"x" * (limit - len(start) + 1))


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    document = load_text(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert (document.data, document.lines[("b",)]) == ({"a": 1, "b": 2}, 2)


def test_what_is_not_a_readable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing.yaml", ".", "pipe", "loop", "nul\0name", "x" * 300, "/dev/zero"):
        with pytest.raises(InputError, match=r"not a file|cannot be read|not a file name") as caught:
            strict_yaml.load(tmp_path / name)
        assert str(caught.value).isprintable()
    path = write(tmp_path, "a: 1\n")

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # root may read anything, so the mode cannot show it
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        strict_yaml.load(path)
