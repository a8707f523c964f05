"""Where things are kept: one folder holds cohorts, references, studies and, by default, MLflow's database."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from platform.driver.mirror import pull_all
from urllib.parse import quote, unquote

from trainers.errors import InputError
from trainers.places import mounts
from trainers.places.mounts import Mount
from trainers.places.objects import Refused, address, gives_back, is_url

CACHE, CACHE_GB = "TRANSLATOR_CACHE", "TRANSLATOR_CACHE_GB"


def require_writable_folder(folder: Path) -> None:
    """Make a folder if needed and write in it; raises OSError where that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


def cache_of(url: str) -> Path:
    """The folder that is every machine's copy of an object store: below ``TRANSLATOR_CACHE``, or in /tmp."""
    scheme, bucket, prefix = address(url)
    default = Path(tempfile.gettempdir(), f"mri-translator-search-{os.getuid()}")
    cache = Path(os.environ.get(CACHE) or default).absolute()
    return cache / scheme / bucket / quote(prefix, safe="")


def cache_limit() -> int:
    """Bytes that a machine's copy may have, by ``TRANSLATOR_CACHE_GB``; 0: any number."""
    given = os.environ.get(CACHE_GB) or "0"
    try:
        if not 0 <= float(given) < math.inf:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{CACHE_GB}: {given!r} is not allowed; allowed: gigabytes, 0 for no limit"
        ) from None
    return int(float(given) * 1e9)


@dataclass(frozen=True)
class Storage:
    """A storage; on a cluster, a folder that every node can read and write, or an object store."""

    root: Path
    """Where this machine has it."""
    url: str = ""
    """Of the object store; empty: the root is the storage itself."""

    @classmethod
    def at(cls, place: str | Path, single_driver: bool = False) -> "Storage":
        """The storage at a folder or URL, whether or not it exists; raises InputError for another URL.

        ``single_driver``: the user sees to it that each study has one driver at a time.
        """
        if not is_url(text := str(place)):
            return cls(Path(place).resolve())
        mount = mounts.add(Mount(cache_of(text), text, cache_limit(), single_driver))
        return cls(mount.root, mount.url)

    @classmethod
    def open(cls, place: str | Path, single_driver: bool = False) -> "Storage":
        """The storage at a place, created if needed; raises InputError where it cannot be written."""
        storage = cls.at(place, single_driver)
        try:
            require_writable_folder(storage.root)
        except OSError as error:
            reason = f"cannot be written ({error.strerror}); allowed: a writable folder"
            raise InputError(f"--storage: {storage.root} {reason}") from error
        if storage.url:
            _require_usable(storage)
        return storage

    @property
    def shown(self) -> str:
        """As a user names it."""
        return self.url or str(self.root)

    @property
    def tracking(self) -> str:
        """MLflow's default database; empty for an object store, which cannot hold one."""
        return "" if self.url else f"sqlite:///{quote(str(self.database))}"

    @property
    def database(self) -> Path:
        """The file of MLflow's default database."""
        return self.root / "mlflow.db"

    def saved_tracking(self, uri: str) -> str:
        """A study's MLflow for its ``study.json``: empty for the default, so that the storage can move."""
        return "" if uri == self.tracking else uri

    def tracking_of(self, saved: str) -> str:
        """A study's MLflow as its ``study.json`` has it: empty, or its database here, before it was moved."""
        path = Path(unquote(saved.removeprefix("sqlite:///")))
        moved = saved.startswith("sqlite:///") and path.name == "mlflow.db" and not path.exists()
        return self.tracking if not saved or (moved and not self.url) else saved

    def artifacts(self, uri: str) -> Path:
        """Where a sqlite MLflow keeps its artifacts: beside its database where the storage is no folder."""
        folder = Path(unquote(uri.removeprefix("sqlite:///"))).parent if self.url else self.root
        return folder / "mlartifacts"

    def study(self, name: str) -> Path:
        """A study's folder."""
        return self.root / "studies" / name

    def comparison(self, name: str) -> Path:
        """A comparison's folder."""
        return self.root / "comparisons" / name

    def brought(self, folder: Path) -> Path:
        """A study's or comparison's folder, as its last driver left it, wherever that ran."""
        if self.url:
            with _refusal():
                pull_all(folder)
        return folder

    def existing(self, name: str) -> Path:
        """The folder of a study that was started; raises InputError that names the existing ones."""
        folder = self.brought(self.study(name))
        if not (folder / "study.json").exists():
            known = ", ".join(self.names()) or "none yet"
            raise InputError(f"study: {name!r} is not in {self.shown}; allowed: {known}")
        return folder

    def names(self) -> list[str]:
        """Of all studies."""
        if mount := mounts.of(self.root):
            return mount.objects.names("studies")
        return sorted(path.parent.name for path in self.root.glob("studies/*/study.json"))


@contextmanager
def _refusal() -> Iterator[None]:
    """Raises InputError where a store lets this user not in."""
    try:
        yield
    except Refused as fault:
        raise InputError(f"--storage: {fault}; allowed: a bucket that you may read and write") from fault


def _require_usable(storage: Storage) -> None:
    """Raises InputError where the user may not write to an object store, or it does not exist."""
    mount = mounts.of(storage.root)
    assert mount is not None
    with _refusal():
        same = gives_back(mount.objects, 64)
    if not same:
        raise InputError(f"--storage: {storage.url} gives back other bytes than were written")
