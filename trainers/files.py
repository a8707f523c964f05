"""Text on disk, whole or not at all."""

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, whoever is killed meanwhile; one writer at a time."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
