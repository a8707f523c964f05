"""Paths within a folder that may move: kept relative to it, found where it is now."""

import os
from pathlib import Path


def kept(folder: Path, path: Path) -> str:
    """A path as it is kept: relative to ``folder``; as it is where it lies elsewhere."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def found(folder: Path, text: str) -> Path:
    """Where the path of :func:`kept` is now.

    Earlier versions kept absolute paths: one that no longer exists is looked for by its last parts.
    """
    path = Path(os.path.join(folder, text))  # quicker than Path's own way, for the many of a ledger
    if not os.path.isabs(text) or path.exists():
        return path
    tails = (folder.joinpath(*path.parts[-count:]) for count in range(len(path.parts) - 1, 0, -1))
    return next((tail for tail in tails if tail.exists()), path)
