"""A BIDS data set that a command writes: its description, and whose a folder is.

<root>/dataset_description.json, README.md, .lock
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from trainers import VERSION
from trainers.cohorts.scans import user_files
from trainers.cohorts.scans.field_strength import DESCRIPTION
from trainers.errors import InputError
from trainers.files import one_at_a_time, write_text

BIDS_VERSION, GENERATOR = "1.10.0", "mri-translator-search"
README, LOCK = "README.md", ".lock"
Kind = Literal["raw", "derivative"]
OTHERWISE = {
    "raw": "a new folder, or that of an earlier export",
    "derivative": "another folder, as derivatives/NAME in it",
}
"""What to give instead of another's folder."""


def require_own(option: str, root: Path, kind: Kind, written: Sequence[str] = ()) -> None:
    """Raises InputError where a folder is a data set that this program has not made, or one of another kind.

    A folder without a description may hold no subject, README or other file that is ``written``.
    """
    described = (root / DESCRIPTION).exists()
    found = [] if described else [name for name in (README, *written) if (root / name).exists()]
    found += [] if described else [path.name for path in sorted(root.glob("sub-*"))[:1]]
    if (described and not _is_own(root, kind)) or found:
        holds = f" (it holds {found[0]})" if found else ""
        raise InputError(f"{option}: {root} is another data set{holds}; allowed: {OTHERWISE[kind]}")


def describe(root: Path, kind: Kind, name: str, readme: str, **more: Any) -> None:
    """Write description and text of an own data set; what a user has added to them is kept."""
    before = user_files.read_json(root / DESCRIPTION) if (root / DESCRIPTION).exists() else {}
    generated = [{"Name": GENERATOR, "Version": VERSION}]
    facts = {"BIDSVersion": BIDS_VERSION, "DatasetType": kind, "GeneratedBy": generated, **more}
    write_text(root / DESCRIPTION, json.dumps({"Name": name, **before, **facts}, indent=1))
    if not any(root.glob("README*")):
        write_text(root / README, readme)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One process at a time in the block; the folder is made."""
    with one_at_a_time(root / LOCK, lambda: None):
        yield


@contextmanager
def writing(option: str, root: Path) -> Iterator[None]:
    """Raises InputError where the block cannot write: no room, no permission."""
    try:
        yield
    except OSError as error:
        reason = f"{root} cannot be written ({error.strerror or error.__class__.__name__})"
        raise InputError(f"{option}: {reason}; allowed: a folder with room") from error


def _is_own(root: Path, kind: Kind) -> bool:
    try:
        found = user_files.read_json(root / DESCRIPTION)
        return bool(found["GeneratedBy"][0]["Name"] == GENERATOR and found.get("DatasetType", "raw") == kind)
    except (InputError, KeyError, IndexError, TypeError, AttributeError):
        return False
