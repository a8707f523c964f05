"""How much a machine keeps of a store: the folders that were used least recently give way."""

import logging
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

INDEX = ".index.json"
"""In every folder that is also in a store; changed whenever the folder is used."""
YOUNG = 600.0
"""Seconds after its last use in which a folder stays: it may just be opened."""


def make_room(root: Path, wanted: int, limit: int) -> None:
    """Remove copies below ``root`` until ``wanted`` bytes more are within the limit; 0: there is none.

    What is open stays readable. A copy that is needed again is brought again; files that are in no store, and
    copies that were used just now, stay.
    """
    if not limit or not wanted:
        return
    folders = {path.parent: path.stat().st_mtime for path in root.rglob(INDEX)}
    sizes = {folder: _size(folder) for folder in folders}
    total, now = sum(sizes.values()) + wanted, time.time()
    for folder in sorted(folders, key=lambda each: folders[each]):
        if total <= limit or now - folders[folder] < YOUNG:
            break
        discard(folder)
        total -= sizes[folder]
    if total > limit:
        log.warning(
            "%s: needs %.1f GB, more than the %.1f GB that it may have", root, total / 1e9, limit / 1e9
        )


def discard(folder: Path) -> None:
    """Remove a copy; whoever looks finds all of it, or nothing."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.gone")
    with suppress(FileNotFoundError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
