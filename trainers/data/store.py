"""The cohort store: memory-mapped slices and a manifest, one subdirectory a split.

<root>/cohorts/<hash16>/manifest.json
<root>/cohorts/<hash16>/{train,val,test}/<domain>_<contrast|mask>.npy    [N, H, W]
<root>/cohorts/<hash16>/{train,val,test}/optional/<name>.npy             [M, ...], of some cohorts
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers.data.arrays import Array
from trainers.errors import InputError
from trainers.files import file_sha256
from trainers.places import mounts
from trainers.seal import checksum_of

SPLITS = ("train", "val", "test")
SHIFTED = "shifted"
"""A second test split that some cohorts have, of another population and other scanners."""
PAIRED_SPLITS = ("val", "test")
DOMAINS = ("64mT", "3T")
CONTRASTS = ("T1", "T2")
MASK = "mask"
MANIFEST = "manifest.json"
OPTIONAL = "optional"
"""Folder, below a split's, of arrays that only some cohorts have."""


@dataclass(frozen=True)
class Subject:
    """Rows ``start:stop`` of a domain's arrays belong to subject ``id``."""

    id: str
    start: int
    stop: int


@dataclass(frozen=True)
class Split:
    """An opened split: slices are read-only memory maps."""

    name: str
    _arrays: dict[tuple[str, str], Array]
    _subjects: dict[str, tuple[Subject, ...]]

    def slices(self, domain: str, contrast: str) -> Array:
        """``[N, H, W]`` in [-1, 1], float16 or float32; -1 outside the brain."""
        return self._arrays[domain, contrast]

    def mask(self, domain: str) -> Array:
        """Brain mask ``[N, H, W]`` of uint8."""
        return self._arrays[domain, MASK]

    def subjects(self, domain: str) -> tuple[Subject, ...]:
        """Subjects in row order. In val and test both domains list the same ones, row by row."""
        return self._subjects[domain]


@dataclass(frozen=True)
class OptionalArray:
    """An opened optional array: ``array [M, ...]`` is a read-only memory map."""

    array: Array
    _rows: dict[str, tuple[int, int]]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Ids of the subjects that have it, in row order."""
        return tuple(self._rows)

    def of(self, subject: str) -> Array:
        """The rows of a subject; raises :class:`InputError` where it has none."""
        if subject not in self._rows:
            raise InputError(f"subject: {subject!r} has no such array; allowed: {', '.join(self._rows)}")
        start, stop = self._rows[subject]
        return self.array[start:stop]


@dataclass(frozen=True)
class Cohort:
    """A prepared cohort: its manifest is read on opening, each split only on request."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "Cohort":
        """Open a prepared cohort; raises :class:`InputError` if its manifest is missing or damaged."""
        path = Path(path)
        file = path / MANIFEST
        mounts.bring(path, MANIFEST)
        try:
            manifest = json.loads(file.read_text())
        except FileNotFoundError:
            raise InputError(
                f"{file}: not found; a cohort folder holds one (prepare the cohort first)"
            ) from None
        except (OSError, ValueError) as error:
            raise _damaged(file, path, f"cannot be read ({error.__class__.__name__})") from None
        if not isinstance(manifest, dict) or manifest.get("checksum") != checksum(manifest):
            raise _damaged(file, path, "does not match its checksum")
        return cls(path, manifest)

    @property
    def hash(self) -> str:
        """Content hash of the configuration and its sources (hex sha256)."""
        return str(self.manifest["hash"])

    @property
    def spacing(self) -> float:
        """In-plane spacing (mm)."""
        return float(self.manifest["spacing"])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a slice."""
        rows, columns = self.manifest["shape"]
        return rows, columns

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the cohort has: ``SPLITS``, of some cohorts ``shifted`` too."""
        has = any(file.startswith(f"{SHIFTED}/") for file in self.manifest["files"])
        return (*SPLITS, SHIFTED) if has else SPLITS

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The splits that are scored: validation first, then those of test."""
        return self.splits[1:]

    def split(self, name: str) -> Split:
        """Open only ``train``, ``val``, ``test`` or, where the cohort has it, ``shifted``.

        Raises :class:`InputError` for another split, or if damaged.
        """
        self._require(name)
        arrays = {}
        for file, entry in self._files(name):
            domain, kind = Path(file).stem.split("_")
            arrays[domain, kind] = self._map(file, entry)
        return Split(name, arrays, {domain: self._subjects(name, domain) for domain in DOMAINS})

    def optional(self, split: str, name: str) -> OptionalArray:
        """Open only the optional array ``name`` of a split.

        Raises :class:`InputError` where the cohort does not have it (older ones have none), or if damaged.
        """
        self._require(split)
        known = self.manifest.get(OPTIONAL, {})
        file = f"{split}/{OPTIONAL}/{name}.npy"
        if file not in known:
            names = sorted(Path(f).stem for f in known if f.startswith(f"{split}/"))
            raise InputError(
                f"{self.path}: has no array {name!r} of {split}; allowed: {', '.join(names) or 'none'}"
            )
        subjects = (s for s in self.manifest["subjects"] if s["split"] == split)
        rows = {s["id"]: s["optional"][name] for s in subjects if name in s.get(OPTIONAL, {})}
        return OptionalArray(self._map(file, known[file]), rows)

    def has_optional(self, split: str, name: str) -> bool:
        """Whether the cohort has an optional array of a split."""
        return f"{split}/{OPTIONAL}/{name}.npy" in self.manifest.get(OPTIONAL, {})

    def verify(self, *splits: str) -> None:
        """Compare the sha256 of every file of ``splits`` (default: all); raises :class:`InputError`."""
        optional = self.manifest.get(OPTIONAL, {})
        for split in splits or self.splits:
            extra = [(file, entry) for file, entry in optional.items() if file.startswith(f"{split}/")]
            for file, entry in [*self._files(split), *extra]:
                self._map(file, entry)
                if file_sha256(self.path / file) != entry["sha256"]:
                    raise _damaged(self.path / file, self.path, "does not match its sha256")

    def _require(self, split: str) -> None:
        if split not in self.splits:
            what = "not in this cohort" if split == SHIFTED else "not allowed"
            raise InputError(f"split: {split!r} is {what}; allowed: {', '.join(self.splits)}")

    def _files(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((f, entry) for f, entry in self.manifest["files"].items() if f.startswith(f"{split}/"))

    def _subjects(self, split: str, domain: str) -> tuple[Subject, ...]:
        rows = (s for s in self.manifest["subjects"] if s["split"] == split and domain in s["domains"])
        return tuple(Subject(s["id"], s["start"], s["stop"]) for s in rows)

    def _map(self, file: str, entry: dict[str, Any]) -> Array:
        path = self.path / file
        mounts.bring(self.path, file)
        try:
            if path.stat().st_size != entry["bytes"]:
                raise _damaged(path, self.path, f"holds {path.stat().st_size} bytes, not {entry['bytes']}")
            array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise _damaged(path, self.path, "is missing") from None
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise _damaged(path, self.path, f"cannot be read ({error.__class__.__name__})") from None
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            raise _damaged(path, self.path, f"holds {array.dtype}{list(array.shape)}")
        return array


def checksum(manifest: dict[str, Any]) -> str:
    """sha256 of the manifest without its own ``checksum``."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return checksum_of(rest)


def _damaged(file: Path, cohort: Path, what: str) -> InputError:
    return InputError(f"{file}: {what}; delete the folder {cohort} and prepare the cohort again")
