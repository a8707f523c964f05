"""The field strength of a scan: what its sidecars say, inherited as BIDS has it, and what its name says.

A sidecar of a folder above applies to a scan with its suffix and all of its entities (BIDS 1.10, "The
Inheritance Principle"). Sources that contradict each other are refused, as is a sidecar that cannot be read.
"""

import math
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.cohorts.scans import names, user_files
from trainers.cohorts.scans.wording import short
from trainers.errors import InputError

KEY = "MagneticFieldStrength"
LOW, HIGH = (0.01, 0.2), (2.5, 3.5)
"""Ranges (tesla) that count as 64 mT and as 3 T: sidecars are rounded."""
SAME = 1.1
"""Factor within which two other strengths are the same."""
LENGTH = 40
"""Characters: longer text is no number."""
LARGEST = 20.0
"""Tesla: a larger number without a unit is in millitesla, as no scanner has it."""
DESCRIPTION = "dataset_description.json"
"""In the root of a BIDS folder."""
_TEXT = re.compile(r"\s*(?P<number>\d*[.,]?\d+(?:e-?\d+)?)\s*(?P<unit>m?t(?:esla)?)?\s*", re.I)
_NAMED = re.compile(
    r"(?<![0-9.])(?<!\dp)(?P<number>\d+(?:[.p]\d+)?)(?P<unit>m?T)(?:esla)?(?![A-Za-z0-9])", re.I
)


@dataclass(frozen=True)
class Said:
    """A field strength, and what says it."""

    tesla: float
    by: str

    @property
    def domain(self) -> str:
        """``64mT``, ``3T``, or empty for any other."""
        ranges = {"64mT": LOW, "3T": HIGH}
        return next((name for name, (low, high) in ranges.items() if low <= self.tesla <= high), "")

    def agrees(self, other: "Said") -> bool:
        """Whether both are of one field."""
        if self.domain or other.domain:
            return self.domain == other.domain
        return max(self.tesla, other.tesla) <= SAME * min(self.tesla, other.tesla)


_Listed = dict[tuple[str, str], list[tuple[Path, names.Name]]]
"""The sidecars of a folder by suffix, in lower case, and subject."""


@dataclass
class Sidecars:
    """Of the scans of one BIDS folder; each folder is listed and each file read once."""

    root: Path
    _listed: dict[Path, _Listed] = field(default_factory=dict)
    _read: dict[Path, Any] = field(default_factory=dict)

    @classmethod
    def around(cls, scan: Path) -> "Sidecars":
        """Of the BIDS folder that holds a scan; of its own folder where there is none."""
        return cls(data_set_of(scan))

    def strength(self, scan: Path) -> Said | None:
        """What a scan's sidecars, the outermost first, and then its name say; None where nothing does.

        Raises InputError for two that contradict each other, and for a sidecar that cannot be read.
        """
        told = [said for path in self._of(scan) if (said := self._said(path))]
        told += named(scan.name)
        for other in told[1:]:
            if not other.agrees(told[0]):
                both = f"{told[0].by} says {told[0].tesla:g} T and {other.by} {other.tesla:g} T"
                raise InputError(f"{scan}: {both}; allowed: one field strength")
        return told[0] if told else None

    def _of(self, scan: Path) -> list[Path]:
        """The sidecars that apply to a scan, outermost and least specific first."""
        at, parsed, found = scan.absolute(), names.parse(scan.name), list[Path]()
        for folder in [each for each in reversed(at.parents) if each.is_relative_to(self.root)]:
            fitting = (
                [
                    (len(name.entities), path)
                    for subject in {"", parsed.entities.get("sub", "")}
                    for path, name in self._in(folder).get((parsed.suffix.lower(), subject), ())
                    if name.entities.items() <= parsed.entities.items()
                ]
                if parsed
                else []
            )
            found += [path for _, path in sorted(fitting)]
        own = at.with_name(f"{names.stem(scan)}.json")
        return found if own in found or not os.path.isfile(own) else [*found, own]

    def _in(self, folder: Path) -> _Listed:
        if folder not in self._listed:
            listed: _Listed = defaultdict(list)
            for path in _json_files(folder):
                if name := names.parse(path.name):
                    listed[name.suffix.lower(), name.entities.get("sub", "")].append((path, name))
            self._listed[folder] = listed
        return self._listed[folder]

    def _said(self, path: Path) -> Said | None:
        if path not in self._read:
            self._read[path] = _content(path)
        value = self._read[path].get(KEY)
        if value is None:
            return None
        tesla = understood(value)
        if tesla is None:
            raise InputError(
                f"{path}: {KEY}: {short(value)} is not understood; allowed: tesla, as 0.064 or 3"
            )
        return Said(tesla, str(path))


def data_set_of(scan: Path) -> Path:
    """The BIDS folder that holds a scan; its own folder where there is none."""
    folders = scan.absolute().parents
    return next((each for each in folders if os.path.isfile(each / DESCRIPTION)), folders[0])


def understood(value: Any) -> float | None:
    """Tesla of a number or of text, as ``"3T"``, ``"0.064 T"`` or ``"64 mT"``; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    found = _TEXT.fullmatch(text) if len(text := str(value)) <= LENGTH else None
    if not found:
        return None
    return _tesla(found["number"].replace(",", "."), found["unit"] or "")


def named(name: str) -> Sequence[Said]:
    """What the acquisition and the session of a file's name say, as ``acq-64mT`` or ``ses-highres3T``."""
    parsed = names.parse(name)
    labels = [] if parsed is None else [parsed.entities.get(key, "") for key in ("acq", "ses")]
    found = (_NAMED.search(label) for label in labels)
    strengths = [_tesla(each["number"].lower().replace("p", "."), each["unit"]) for each in found if each]
    return [Said(tesla, "its name") for tesla in strengths if tesla]


def _tesla(number: str, unit: str) -> float | None:
    value = float(number)
    if unit.lower().startswith("m") or (not unit and value > LARGEST):
        value /= 1000
    return value if 0 < value < math.inf else None


def _json_files(folder: Path) -> list[Path]:
    """Raises InputError for a folder that cannot be read."""
    if not os.path.isdir(folder):
        return []
    try:
        return [path for path in folder.iterdir() if path.suffix.lower() == ".json"]
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read ({error.strerror}); allowed: a folder that can be"
        ) from None


def _content(path: Path) -> dict[str, Any]:
    """Raises InputError for a sidecar that is no JSON object."""
    content = user_files.read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object; allowed: one")
    return content
