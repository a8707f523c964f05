"""Tensors on disk: safetensors and a JSON manifest with sha256 sums, written atomically, verified on read.

The manifest has a checksum of itself: a damaged fact is never read as true. Below a mount a folder is also
published in its store, and what is read of one is brought first.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError

from trainers.errors import InputError
from trainers.faults import of_environment, writing
from trainers.files import file_sha256
from trainers.places import mounts
from trainers.seal import sealed, why_not_true

# Late: torch takes a second to import, for which those who read a manifest need not wait.
if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
Kind = Literal["model", "checkpoint", "reference", "bound", "prepared visit", "evaluation"]


def publish(
    folder: Path, tensors: Mapping[str, Mapping[str, "Tensor"]], facts: Mapping[str, Any], kind: Kind
) -> None:
    """Write ``<name>.safetensors`` for each group and a manifest of ``facts`` to ``folder``, atomically.

    The manifest says of which ``kind`` the folder is. An existing ``folder`` is replaced. A reader finds the
    old folder, none, or the new one; never a part. Raises EnvironmentFault where there is no room, or the
    store does not take it: the folder here is complete then.
    """
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    old = work.with_name(f"{work.name}.old")
    try:
        sums = {}
        for name, group in tensors.items():
            path = work / f"{name}.safetensors"
            size = sum(value.numel() * value.element_size() for value in group.values())
            with writing(folder / path.name, size):
                save_file({key: value.detach().cpu().contiguous() for key, value in group.items()}, path)
                sums[path.name] = file_sha256(path)
                _sync(path)
        text = json.dumps(sealed({**facts, "kind": kind, "sha256": sums}), indent=1, sort_keys=True)
        with writing(folder / MANIFEST, len(text)):
            (work / MANIFEST).write_text(text)
            _sync(work / MANIFEST)
        work.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        work.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    mounts.publish(folder)


def is_published(folder: Path) -> bool:
    """Whether a folder is published, intact or not."""
    mounts.bring(folder, MANIFEST)
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a published folder; raises InputError where it is missing, not one or damaged."""
    path = folder / MANIFEST
    mounts.bring(folder, MANIFEST)
    try:
        manifest = dict(json.loads(path.read_text()))
        manifest = {**manifest, "sha256": dict(manifest["sha256"])}
    except (OSError, ValueError, TypeError, KeyError) as error:
        if (fault := of_environment(error)) is not None:
            raise fault from error  # it may be intact
        raise InputError(f"{path}: not a readable manifest ({error.__class__.__name__})") from error
    if reason := why_not_true(manifest):
        raise InputError(f"{path}: {reason}")
    return manifest


def read_tensors(folder: Path, name: str) -> "dict[str, Tensor]":
    """One verified group of tensors; raises InputError where its sha256 is not the manifest's."""
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    mounts.bring(folder, MANIFEST, path.name)
    expected = read_manifest(folder)["sha256"].get(path.name)
    if not path.is_file() or file_sha256(path) != expected:
        raise InputError(f"{path}: missing or damaged (sha256 differs from {MANIFEST})")
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error


def select_prefix(tensors: Mapping[str, "Tensor"], name: str) -> "dict[str, Tensor]":
    """The tensors named ``name.<key>``, by ``key``."""
    return {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}


def verify(folder: Path) -> dict[str, Any]:
    """The manifest, after a check of every file's sha256; raises InputError where one differs.

    A damaged copy of what is in a store is brought again first.
    """
    try:
        return _verified(folder)
    except InputError:
        if not mounts.drop(folder):
            raise
        return _verified(folder)


def _verified(folder: Path) -> dict[str, Any]:
    mounts.bring(folder)
    manifest = read_manifest(folder)
    for name, expected in manifest["sha256"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise InputError(f"{folder / name}: missing or damaged (sha256 differs from {MANIFEST})")
    return manifest


def require_kind(folder: Path, facts: Mapping[str, Any], kind: Kind, key: str) -> None:
    """Raises InputError where a published folder is of another kind.

    Manifests of earlier versions do not say it: those of the ``kind`` have the ``key``.
    """
    given = facts.get("kind", kind if key in facts else "something else")
    if given != kind:
        raise InputError(f"{folder}: is {_article(given)}; allowed: {_article(kind)}")


def _article(kind: str) -> str:
    return kind if kind.startswith("something") else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
