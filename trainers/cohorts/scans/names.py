"""File names of BIDS: ``sub-01_ses-02_acq-AXI_run-1_T2w.nii.gz`` is entities, a suffix and an ending."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FORM = re.compile(r"(?:(?P<entities>.+)_)?(?P<suffix>[A-Za-z0-9]+)(?P<ending>\.nii(?:\.gz)?|\.json)", re.I)
_IMAGE = re.compile(r"\.(?:nii(?:\.\w+)?|img|mg[hz]|nrrd|mnc)\Z", re.I)
_LABEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
LONG = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "reconstruction": "rec",
    "ceagent": "ce",
    "direction": "dir",
    "inversion": "inv",
}
"""Entities whose key is not their name, as that of ``run``, ``echo`` or ``part`` is."""
OF = "of"
"""Key of a part without one, as in ``sub-01_T1w_desc-brain_mask``: what a derivative was made of."""


@dataclass(frozen=True)
class Name:
    """A file's name in parts."""

    entities: Mapping[str, str]
    suffix: str
    ending: str
    """In lower case."""
    fault: str = ""
    """As ``has acq- twice``."""


def parse(name: str) -> Name | None:
    """The parts of a scan's or a sidecar's name, keys in lower case; None where it is neither."""
    found = _FORM.fullmatch(composed(name))
    if not found:
        return None
    entities: dict[str, str] = {}
    fault = ""
    for part in (found["entities"] or "").split("_"):
        key, _, value = part.partition("-") if "-" in part else (OF, "", part)
        key = key.lower()
        if part and (key in entities or not value):
            fault = f"has {key}- {'twice' if key in entities else 'without a label'}"
        if part:
            entities[key] = value
    return Name(entities, found["suffix"], found["ending"].lower(), fault)


def composed(name: str) -> str:
    """With accents as macOS does not write them, so that names of one folder and one file compare."""
    return unicodedata.normalize("NFC", name)


def is_image(path: Path) -> bool:
    """Whether a name ends as that of an image, in NIfTI or not."""
    return _IMAGE.search(path.name) is not None


def words(label: str) -> list[str]:
    """The words of a label such as ``mrsLocAx``, in lower case: mrs, loc, ax."""
    return [word.lower() for word in _LABEL.findall(label)]


def stem(path: Path) -> str:
    """A NIfTI file's name without its ending."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
