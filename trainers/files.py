"""Atomic writing of text files."""

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file completely or not at all, even if the process is killed; one writer at a time."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
