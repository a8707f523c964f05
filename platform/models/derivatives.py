"""Outputs of ``translate`` as BIDS derivatives (BIDS 1.10, "BIDS Derivatives"): names, and a whole data set.

<output>/dataset_description.json, .bidsignore, sub-X/[ses-Y/]{anat,figures}/sub-X_..._desc-enhanced_T1w.*
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from platform.cohorts.export import BIDS_VERSION, GENERATOR
from typing import Any

from trainers import VERSION
from trainers.cohorts.scans import names
from trainers.cohorts.scans.field_strength import DESCRIPTION
from trainers.errors import InputError
from trainers.files import write_text

RAW = "raw"
"""Name of the source data set in the BIDS URIs of sidecars."""
LISTING = "files.csv"
"""What was chosen of a BIDS folder, and what was left."""
IGNORED = ("*.html", "**/figures", LISTING, "methods.md")
"""What is no data, for the validator."""
README = """# Scans of about 64 mT, translated to look like 3 T

Made by `platform.translate` of mri-translator-search with the model `{model}` ({version}). The images are
synthetic: for research only, not for diagnosis. `desc-enhanced` is a translated scan on the grid of its own
input, 0 to 1, black outside the brain; `desc-uncertainty` the standard deviation over draws of the model's
latent, where it was asked for. The sidecars hold the model, its settings, the preprocessing and the warnings;
`figures` shows each scan before and after.
"""
_DROPPED = ("desc", names.OF)


def prefix(path: Path, subject: str, fallback: str) -> str:
    """How the names of a scan's outputs start: as its own in BIDS, else ``sub-`` and the ``fallback``.

    ``subject``, where given, is the label.
    """
    parsed = names.parse(path.name)
    entities = dict(parsed.entities) if parsed and parsed.entities.get("sub") else {"sub": fallback}
    entities |= {"sub": subject} if subject else {}
    return "_".join(f"{key}-{value}" for key, value in entities.items() if key not in _DROPPED)


def place(prefix: str, folder: str = "anat") -> Path:
    """Where the outputs of a prefix are, below the data set."""
    parts = [part for part in prefix.split("_") if part.startswith(("sub-", "ses-"))]
    return Path(*parts, folder)


def describe(root: Path, model: str, version: str, source: Path | None) -> None:
    """Write the description of the derivative data set; ``source``: the BIDS folder that was translated.

    Raises InputError where ``root`` is another data set.
    """
    path = root / DESCRIPTION
    generated = {"Name": GENERATOR, "Version": VERSION, "Description": f"translate, model {model} {version}"}
    description: dict[str, Any] = {
        "Name": "64 mT scans translated to look like 3 T: synthetic, not for diagnosis",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [generated],
    }
    if source is not None:
        description["DatasetLinks"] = {RAW: os.path.relpath(source, root)}
    require_own(root)
    write_text(path, json.dumps(description, indent=1))
    write_text(root / ".bidsignore", "\n".join(IGNORED) + "\n")
    write_text(root / "README.md", README.format(model=model, version=version))


def require_own(root: Path) -> None:
    """Raises InputError where a folder is a data set that ``translate`` has not made."""
    path = root / DESCRIPTION
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text("utf-8-sig"))
        own = found["GeneratedBy"][0]["Name"] == GENERATOR
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        own = False
    if not own:
        raise InputError(
            f"--output: {root} is another data set; allowed: another folder, as derivatives/NAME in it"
        )


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """A folder whose files are moved to the same places below ``root`` at the end; none, after an error."""
    with tempfile.TemporaryDirectory(prefix=".part-", dir=root) as work:
        yield Path(work)
        for path in sorted(each for each in Path(work).rglob("*") if each.is_file()):
            target = root / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)


def uri(path: Path, root: Path) -> str:
    """The BIDS URI of a file of the source data set."""
    return f"bids:{RAW}:{path.relative_to(root).as_posix()}"


def sidecar(description: str, source: str, facts: Mapping[str, Any]) -> str:
    """The JSON of an output, with BIDS' keys for derivatives."""
    head = {"Description": description, "Sources": [source], "SkullStripped": True}
    return json.dumps({**head, **facts}, indent=1)
