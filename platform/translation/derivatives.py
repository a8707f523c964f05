"""Outputs of ``translate`` as BIDS derivatives (BIDS 1.10, "BIDS Derivatives"): names, and a whole data set.

<output>/dataset_description.json, .bidsignore, sub-X/[ses-Y/]{anat,figures}/sub-X_..._desc-enhanced_T1w.*
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from platform.storage import data_set
from platform.storage.outcomes import LISTING
from typing import Any

from trainers import VERSION
from trainers.cohorts.scans import names, user_files
from trainers.cohorts.scans.field_strength import DESCRIPTION
from trainers.errors import InputError
from trainers.files import file_sha256, write_text

RAW = "raw"
"""Name of the source data set in the BIDS URIs of sidecars."""
PAGE, METHODS, IGNORE = "index.html", "methods.md", ".bidsignore"
"""What the group level writes, and the validator's list of what is no data."""
IGNORED = ("*.html", "**/figures", LISTING, METHODS, data_set.LOCK, ".part-*")
"""What is no data, for the validator."""
NAME = "64 mT scans translated to look like 3 T: synthetic, not for diagnosis"
README = """# Scans of about 64 mT, translated to look like 3 T

Made by `platform.translate` of mri-translator-search. The images are synthetic: for research only, not for
diagnosis. `desc-enhanced` is a translated scan on the grid of its own input, 0 to 1, black outside the brain;
`desc-uncertainty` the standard deviation over draws of the model's latent, where it was asked for. Scans of
one contrast in several planes are fused on an isotropic grid; `desc-disagreement` is the standard deviation
of the translated views about the fused volume. The sidecars hold the model, its settings, the preprocessing
and the warnings; `figures` shows each scan before and after.
"""
ENHANCED, UNCERTAINTY, DISAGREEMENT = "desc-enhanced", "desc-uncertainty", "desc-disagreement"
BEFORE_AFTER, CHECK = "desc-beforeAfter", "desc-check"
BESIDE = ((ENHANCED, UNCERTAINTY), (ENHANCED, DISAGREEMENT), (BEFORE_AFTER, CHECK))
"""What every translation writes, and what only some write beside it."""
_DROPPED = ("desc", names.OF)


def entities(path: Path) -> dict[str, str]:
    """Of a scan named as in BIDS, without those of processing; empty for another name."""
    parsed = names.parse(path.name)
    if not parsed or not parsed.entities.get("sub"):
        return {}
    return {key: value for key, value in parsed.entities.items() if key not in _DROPPED}


def prefix(entities: Mapping[str, str]) -> str:
    """How the names of a scan's outputs start: ``sub-01_acq-64mT``."""
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def place(prefix: str, folder: str = "anat") -> Path:
    """Where the outputs of a prefix are, below the data set."""
    parts = [part for part in prefix.split("_") if part.startswith(("sub-", "ses-"))]
    return Path(*parts, folder)


def describe(root: Path, source: Path | None) -> None:
    """Write the description of the derivative data set; ``source``: the BIDS folder that was translated.

    Several processes may call it at once. Raises InputError where ``root`` is another data set.
    """
    links = {"DatasetLinks": {RAW: link}} if source is not None and (link := _link(source, root)) else {}
    with data_set.writing("--output", root), data_set.locked(root):
        require_own(root, source)
        _require_same_source(root, links)
        data_set.describe(root, "derivative", NAME, README, **links)
        write_text(root / IGNORE, "\n".join(IGNORED) + "\n")


def require_own(root: Path, source: Path | None = None) -> None:
    """Raises InputError where a folder is a data set that ``translate`` has not made, or is its source."""
    data_set.require_own("--output", root, "derivative", (IGNORE, LISTING, PAGE, METHODS))
    if source is not None and root.resolve() == source.resolve():
        raise InputError(f"--output: {root} is the BIDS folder; allowed: another, as derivatives/NAME in it")


def _require_same_source(root: Path, links: Mapping[str, Mapping[str, str]]) -> None:
    """Raises InputError where the outputs are of another BIDS folder, whose subjects may have their names."""
    path = root / DESCRIPTION
    known = user_files.read_json(path).get("DatasetLinks", {}) if path.is_file() else {}
    if links and known and known != links["DatasetLinks"]:
        raise InputError(f"--output: {root} is of another BIDS folder; allowed: an output for each")


def _link(source: Path, root: Path) -> str:
    """Where the source data set is, without folders' names, which may be a person's.

    Seen from a folder inside it, as ``../..``; else the sum of its description, empty where it has none.
    """
    there = os.path.relpath(source.resolve(), root.resolve())
    if set(Path(there).parts) == {".."}:
        return there
    described = source / DESCRIPTION
    return f"urn:sha256:{file_sha256(described)}" if described.is_file() else ""


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """A folder whose files are moved to the same places below ``root`` at the end; none, after an error.

    The data set is described before: subjects without a description are of another one.
    """
    root.mkdir(parents=True, exist_ok=True)  # another process that failed may have removed it
    with tempfile.TemporaryDirectory(prefix=".part-", dir=root) as work:
        yield Path(work)
        if not (root / DESCRIPTION).exists():
            describe(root, None)
        made = {root / path.relative_to(work): path for path in Path(work).rglob("*") if path.is_file()}
        for target, path in sorted(made.items()):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            for own, other in BESIDE:
                earlier = target.with_name(target.name.replace(own, other))
                if earlier not in made:  # of an earlier call, perhaps by another model
                    earlier.unlink(missing_ok=True)


def uri(path: Path, root: Path) -> str:
    """The BIDS URI of a file of the source data set."""
    return f"bids:{RAW}:{path.relative_to(root).as_posix()}"


def sidecar(description: str, sources: Sequence[str], facts: Mapping[str, Any]) -> str:
    """The JSON of an output, with BIDS' keys for derivatives and this program's version."""
    head = {"Description": description, "Sources": list(sources), "SkullStripped": True}
    return json.dumps({**head, "program": f"{data_set.GENERATOR} {VERSION}", **facts}, indent=1)
