"""The public archives: used where they exist, else downloaded, verified and unpacked below one root."""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from platform.cohorts.download import RemoteFile, download, writing
from platform.cohorts.extract import unpack
from platform.cohorts.http_client import RetryPolicy, WebError, fetch_text
from typing import Any

from rich.console import Console

from trainers.errors import InputError

ARCHIVES = Path(__file__).with_name("archives.json")
"""Every download: addresses, checksums, licences."""
PACKED = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Archive:
    """An entry of ARCHIVES: its files, or the Zenodo record that lists them."""

    title: str
    authors: str
    doi: str | None
    page: str
    licence: str
    record: str | None
    files: tuple[RemoteFile, ...]

    @classmethod
    def read(cls, source: str, archives: Path) -> "Archive":
        """The entry of ``source``."""
        entry: dict[str, Any] = json.loads(archives.read_text("utf-8"))[source]
        return cls(**entry | {"files": tuple(RemoteFile(**file) for file in entry["files"])})


def acquire(
    source: str,
    root: Path,
    console: Console,
    archives: Path = ARCHIVES,
    policy: RetryPolicy | None = None,
) -> Path:
    """``root/<source>`` with the scans of ``source``, unpacked from its archives unless the folder exists.

    Archives in ``root`` (fetched by hand, or by an earlier run) are used if their checksums are right.
    ``root/<source>.json`` names what was unpacked. Raises InputError that says how to do it by hand.
    """
    archive, folder = Archive.read(source, archives), root / source
    if folder.is_dir():
        _require_same(archive, folder)
        return folder
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    try:
        remotes = archive.files or recorded(archive, root / f"{source}.record.json", policy or RetryPolicy())
        paths = download(remotes, root, console, policy)
    except WebError as error:
        raise InputError(f"{error}; by hand, from {archive.page}: {_by_hand(archive, folder)}") from None
    with console.status(f"unpacking {', '.join(path.name for path in paths)}"):
        unpack(paths, folder, importlib.import_module(f"trainers.cohorts.scans.{source}").wanted)
    _marker(folder).write_text(json.dumps(_provenance(archive, remotes), indent=2) + "\n", "utf-8")
    console.print(f"{source}: {archive.title}; licence {archive.licence}")
    return folder


def recorded(archive: Archive, saved: Path, policy: RetryPolicy) -> tuple[RemoteFile, ...]:
    """The archives of a Zenodo record, whose JSON is saved so that later runs use the same version."""
    text = saved.read_text("utf-8") if saved.is_file() else fetch_text(str(archive.record), policy)
    try:
        files = json.loads(text)["files"]
        remotes = tuple(_remote(file) for file in files if file["key"].lower().endswith(PACKED))
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        where = saved if saved.is_file() else archive.record
        raise InputError(f"{where}: is no Zenodo record ({error.__class__.__name__})") from None
    if not remotes:
        raise InputError(f"{archive.record}: lists no archive; allowed: {', '.join(PACKED)}")
    with writing(saved):
        saved.write_text(text, "utf-8")
    return remotes


def _remote(file: dict[str, Any]) -> RemoteFile:
    """A file of a record: ``key``, ``size``, ``checksum`` as ``md5:...``, ``links.self``."""
    algorithm, _, checksum = file["checksum"].partition(":")
    return RemoteFile(file["links"]["self"], file["key"], algorithm, checksum, int(file["size"]))


def _marker(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _provenance(archive: Archive, remotes: tuple[RemoteFile, ...]) -> dict[str, Any]:
    return {
        "title": archive.title,
        "authors": archive.authors,
        "doi": archive.doi,
        "page": archive.page,
        "licence": archive.licence,
        "archives": {remote.name: f"{remote.algorithm}:{remote.checksum}" for remote in remotes},
    }


def _require_same(archive: Archive, folder: Path) -> None:
    """A folder without a marker was made by hand; one of other archives is refused."""
    marker = _marker(folder)
    if not (archive.files and marker.is_file()):
        return
    try:
        unpacked = json.loads(marker.read_text("utf-8"))
    except ValueError:
        raise InputError(f"{marker}: is no JSON; delete it to use {folder} as it is") from None
    if unpacked != json.loads(json.dumps(_provenance(archive, archive.files))):
        hint = f"delete both to download the current ones, or only {marker.name} to use it as it is"
        raise InputError(f"{folder}: {marker.name} names other archives; {hint}")


def _by_hand(archive: Archive, folder: Path) -> str:
    if archive.files:
        names = " and ".join(file.name for file in archive.files)
        return f"put {names} into {folder.parent}, or their scans into {folder}"
    return f"put its scans into {folder}"
