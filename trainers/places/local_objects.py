"""Objects as files of a folder that every machine reads: of a shared file system too slow to train from."""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from trainers.faults import of_environment, writing
from trainers.places.objects import Refused, Stored

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")


class LocalObjects:
    """Files below ``root``; a file gets its name when it is complete."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root

    def put(self, key: str, content: bytes | Path) -> None:
        """Store bytes, or a file."""
        work = self._written(key, content)
        work.replace(self.root / key)

    def create(self, key: str, content: bytes) -> bool:
        """Store bytes where the key has nothing."""
        work = self._written(key, content)
        try:
            os.link(work, self.root / key)
            return True
        except FileExistsError:
            return False
        finally:
            work.unlink()

    def creates_once(self) -> bool:
        """A file system links a name once."""
        return True

    def get(self, key: str) -> bytes | None:
        """An object's bytes."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def download(self, key: str, path: Path, size: int) -> bool:
        """Copy an object to a new file."""
        if not (self.root / key).is_file():
            return False
        with writing(path, size):
            shutil.copyfile(self.root / key, path)
        return True

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All objects below a prefix."""
        for path in sorted((self.root / prefix).rglob("*")):
            if path.is_file() and not UNFINISHED.fullmatch(path.name):
                facts = path.stat()
                yield Stored(str(path.relative_to(self.root)), facts.st_size, facts.st_mtime)

    def names(self, prefix: str) -> list[str]:
        """What is directly below a prefix."""
        folder = self.root / prefix
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in found if not UNFINISHED.fullmatch(path.name))

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty without it."""
        path = self.root / key
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    def sweep(self, prefix: str, seconds: float) -> int:
        """Remove what killed processes have left half-written."""
        now, count = time.time(), 0
        for path in (self.root / prefix).rglob(".*.part"):
            if UNFINISHED.fullmatch(path.name) and now - path.stat().st_mtime >= seconds:
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _written(self, key: str, content: bytes | Path) -> Path:
        """A complete file with a name of its own beside an object's."""
        folder = (self.root / key).parent
        work = folder / f".{secrets.token_hex(8)}.part"
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        try:
            with writing(self.root / key, size):
                folder.mkdir(parents=True, exist_ok=True)
                with work.open("xb") as file:
                    if isinstance(content, bytes):
                        file.write(content)
                    else:
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException as error:
            work.unlink(missing_ok=True)
            if isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
                raise Refused(f"{self.url}: cannot be written ({error.strerror})") from error
            if (fault := of_environment(error)) is not None:
                raise fault from error
            raise
        return work
