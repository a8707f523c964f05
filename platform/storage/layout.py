"""Where things are kept: one folder holds cohorts, references, studies and, by default, MLflow's database."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from trainers.errors import InputError


def require_writable_folder(folder: Path) -> None:
    """Make a folder if needed and write in it; raises OSError where that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()


@dataclass(frozen=True)
class Storage:
    """A storage root; on a cluster, on a file system that every node can read and write."""

    root: Path

    @classmethod
    def at(cls, root: str | Path) -> "Storage":
        """The storage at ``root``, whether or not it exists; raises InputError for a URL."""
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(root)):
            raise InputError(f"--storage: {str(root)!r} is a URL; allowed: a folder")
        return cls(Path(root).resolve())

    @classmethod
    def open(cls, root: str | Path) -> "Storage":
        """The storage at ``root``, created if needed; raises InputError where it cannot be written."""
        path = cls.at(root).root
        try:
            require_writable_folder(path)
        except OSError as error:
            reason = f"cannot be written ({error.strerror}); allowed: a writable folder"
            raise InputError(f"--storage: {path} {reason}") from error
        return cls(path)

    @property
    def tracking(self) -> str:
        """MLflow's default database."""
        return f"sqlite:///{quote(str(self.database))}"

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
        return self.tracking if not saved or moved else saved

    @property
    def artifacts(self) -> Path:
        """Where a sqlite MLflow keeps its artifacts."""
        return self.root / "mlartifacts"

    def study(self, name: str) -> Path:
        """A study's folder."""
        return self.root / "studies" / name

    def comparison(self, name: str) -> Path:
        """A comparison's folder."""
        return self.root / "comparisons" / name

    def existing(self, name: str) -> Path:
        """The folder of a study that was started; raises InputError that names the existing ones."""
        folder = self.study(name)
        names = sorted(path.parent.name for path in self.root.glob("studies/*/study.json"))
        if name not in names:
            known = ", ".join(names) or "none yet"
            raise InputError(f"study: {name!r} is not in {self.root}; allowed: {known}")
        return folder
