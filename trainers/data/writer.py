"""Writing of a cohort, subject by subject; it appears completely or not at all."""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from trainers.data.arrays import Array
from trainers.data.store import CONTRASTS, DOMAINS, MANIFEST, MASK, OPTIONAL, SPLITS, checksum
from trainers.errors import InputError
from trainers.files import file_sha256
from trainers.places import mounts

_FORMAT: Any = np.lib.format  # untyped in numpy 2.3
_HEADER_BYTES = 128  # numpy leaves room in the header for the first axis to grow


@dataclass(frozen=True)
class SubjectArrays:
    """A prepared subject: ``arrays[domain, contrast or "mask"] = [n, H, W]``, equal n in all of them."""

    id: str
    split: str
    arrays: Mapping[tuple[str, str], Array]
    provenance: Mapping[str, Any]
    optional: Mapping[str, Array] = field(default_factory=dict)
    """Further arrays ``[m, ...]`` by name; stored in their own type, the sizes after m equal in a split."""


def folder(root: Path, hash_: str) -> Path:
    """The folder of the cohort with that content hash."""
    return root / "cohorts" / hash_[:16]


def find(root: Path, hash_: str) -> Path | None:
    """The finished cohort of that hash, if any; raises :class:`InputError` for a folder without manifest."""
    path = folder(root, hash_)
    mounts.bring(path, MANIFEST)
    if path.exists() and not (path / MANIFEST).is_file():
        raise InputError(f"{path}: has no manifest.json; delete the folder and prepare the cohort again")
    return path if path.exists() else None


def write(
    root: Path,
    hash_: str,
    head: Mapping[str, Any],
    subjects: Iterable[SubjectArrays],
    splits: tuple[str, ...] = SPLITS,
) -> Path:
    """Write ``subjects`` and move the folder into place by one rename; an interrupted build leaves nothing.

    ``head`` is part of the manifest: config, spacing, shape, dtype and the fixed choices. ``splits`` are
    those that the cohort has.
    """
    final = folder(root, hash_)
    work = final.with_name(f".{final.name}-{uuid.uuid4().hex}")
    try:
        work.mkdir(parents=True)
        manifest = {"hash": hash_, **head, **_write_subjects(work, head, subjects, splits)}
        manifest["checksum"] = checksum(manifest)
        _write_durably(work / MANIFEST, json.dumps(manifest, indent=1))
        return _move_into_place(work, final)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move_into_place(work: Path, final: Path) -> Path:
    try:
        work.rename(final)
    except OSError:
        if not (final / MANIFEST).is_file():  # else another process wrote the same content first
            raise
    mounts.publish(final)
    return final


def _write_subjects(
    work: Path, head: Mapping[str, Any], subjects: Iterable[SubjectArrays], splits: tuple[str, ...]
) -> dict[str, Any]:
    with ExitStack() as stack:
        files = {
            f"{split}/{domain}_{kind}.npy": stack.enter_context(
                _GrowingFile(
                    work / split / f"{domain}_{kind}.npy", "uint8" if kind == MASK else head["dtype"]
                )
            )
            for split in splits
            for domain in DOMAINS
            for kind in (*CONTRASTS, MASK)
        }
        optional = _OptionalFiles(work, stack)
        listed = [_append(files, subject) | optional.append(subject) for subject in subjects]
        written = {name: file.finish(tuple(head["shape"])) for name, file in files.items()}
        return {"subjects": listed, "files": written, **optional.finish()}


def _append(files: Mapping[str, "_GrowingFile"], subject: SubjectArrays) -> dict[str, Any]:
    rows = set()
    for (domain, kind), array in subject.arrays.items():
        rows.add(files[f"{subject.split}/{domain}_{kind}.npy"].append(array))
    ((start, stop),) = rows
    domains = sorted({domain for domain, _ in subject.arrays}, reverse=True)
    return {
        "id": subject.id,
        "split": subject.split,
        "domains": domains,
        "start": start,
        "stop": stop,
        "provenance": dict(subject.provenance),
    }


class _OptionalFiles:
    """Files of the arrays that only some cohorts have, opened as they come."""

    def __init__(self, work: Path, stack: ExitStack) -> None:
        self.work, self.stack = work, stack
        self.files: dict[str, tuple[_GrowingFile, tuple[int, ...]]] = {}

    def append(self, subject: SubjectArrays) -> dict[str, Any]:
        """Append a subject's arrays; returns what the manifest says of its rows, nothing without any."""
        rows = {name: self._file(subject.split, name, a).append(a) for name, a in subject.optional.items()}
        return {OPTIONAL: rows} if rows else {}

    def _file(self, split: str, name: str, array: Array) -> "_GrowingFile":
        key = f"{split}/{OPTIONAL}/{name}.npy"
        if key not in self.files:
            opened = self.stack.enter_context(_GrowingFile(self.work / key, array.dtype.name))
            self.files[key] = opened, array.shape[1:]
        file, shape = self.files[key]
        assert (file.dtype, shape) == (array.dtype, array.shape[1:]), key
        return file

    def finish(self) -> dict[str, Any]:
        """The manifest's records of the files, nothing without any."""
        written = {key: file.finish(shape) for key, (file, shape) in self.files.items()}
        return {OPTIONAL: written} if written else {}


class _GrowingFile:
    """A .npy file whose number of rows is known only at the end."""

    def __init__(self, path: Path, dtype: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.dtype, self.rows = path, np.dtype(dtype), 0
        self.stream: IO[bytes] = path.open("wb")
        self.stream.write(bytes(_HEADER_BYTES))

    def __enter__(self) -> "_GrowingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def append(self, array: Array) -> tuple[int, int]:
        """Append rows; returns the first row and one past the last."""
        start, self.rows = self.rows, self.rows + len(array)
        self.stream.write(np.ascontiguousarray(array, self.dtype).tobytes())
        return start, self.rows

    def finish(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Write the header, flush to disk; returns the manifest's record of the file."""
        whole = (self.rows, *shape)
        header = {"descr": _FORMAT.dtype_to_descr(self.dtype), "fortran_order": False, "shape": whole}
        self.stream.seek(0)
        _FORMAT.write_array_header_1_0(self.stream, header)
        assert self.stream.tell() == _HEADER_BYTES
        self.stream.flush()
        os.fsync(self.stream.fileno())
        size, sha256 = self.path.stat().st_size, file_sha256(self.path)
        return {"shape": list(whole), "dtype": self.dtype.name, "bytes": size, "sha256": sha256}


def _write_durably(path: Path, text: str) -> None:
    with path.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
