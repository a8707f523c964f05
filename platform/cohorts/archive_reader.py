"""The members of an archive, one by one: tar and tar.gz by a reader of our own, zip by Python's.

Python's tarfile follows links, reads extended headers of any length into memory and, before 3.11.13, its
filters can be bypassed (CVE-2025-4517); plain files and folders need far less.
"""

import gzip
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from trainers.errors import InputError

BLOCK = 512
CHUNK = 1 << 20
EXTENDED = 1 << 16
"""Bytes of the longest extended header of a tar, and of the longest comment of a zip."""
DIRECTORY = 1 << 26
"""Bytes of the longest central directory of a zip."""
UNSUPPORTED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"K": "a link",
    b"S": "a sparse file",
}


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most."""

    members: int = 10_000
    member_bytes: int = 1 << 30
    total_bytes: int = 1 << 36
    ratio: int = 20
    """Of unpacked to packed bytes: scans are compressed already, other files shrink 2 to 5 times."""
    slack: int = 1 << 24
    """Bytes that are allowed at any ratio."""


@dataclass(frozen=True)
class Member:
    """A member as the archive names it."""

    name: str
    size: int
    folder: bool


Chunks = Callable[[], Iterator[bytes]]


class ArchiveError(Exception):
    """Why an archive is not unpacked."""


def entries(path: Path, limits: Limits) -> Iterator[tuple[Member, Chunks]]:
    """Members in order, each with its reader, to be used before the next member; raises InputError."""
    with naming(path):
        for member, chunks in _read(path, limits):
            yield member, partial(_chunks, path, chunks)


def _read(path: Path, limits: Limits) -> Iterator[tuple[Member, Chunks]]:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(b"PK"):
        yield from _zip_entries(path, limits)
        return
    packed = magic.startswith(b"\x1f\x8b")
    with gzip.open(path) if packed else path.open("rb") as stream:
        yield from _tar_entries(stream, _ceiling(path, limits) if packed else None, limits)


def _chunks(path: Path, chunks: Chunks) -> Iterator[bytes]:
    """A member's bytes; damage raises the same error as in :func:`entries`."""
    with naming(path):
        yield from chunks()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn any error of an archive into an InputError of one line that names the archive."""
    try:
        yield
    except InputError:
        raise
    except ArchiveError as error:
        raise InputError(f"{path}: {error}; not unpacked") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; allowed: a tar, tar.gz or zip archive") from None
    except (OSError, EOFError, ValueError, struct.error, zlib.error, zipfile.BadZipFile) as error:
        reason = f"is damaged ({error.__class__.__name__}) or no tar, tar.gz or zip archive"
        raise InputError(f"{path}: {reason}; not unpacked") from None


def short(name: str) -> str:
    """A member's name for a message: on one line, not too long."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:60]}...'"


def _ceiling(path: Path, limits: Limits) -> int:
    return max(limits.ratio * path.stat().st_size, limits.slack)


def _require_below(ceiling: int | None, unpacked: int) -> None:
    if ceiling is not None and unpacked > ceiling:
        raise ArchiveError(f"expands to {unpacked} bytes; allowed: {ceiling} for its size")


@dataclass(frozen=True)
class _Header:
    name: str
    size: int
    kind: bytes


def _tar_entries(
    stream: BufferedIOBase, ceiling: int | None, limits: Limits
) -> Iterator[tuple[Member, Chunks]]:
    """Members of POSIX.1-1988, -2001 (pax) and GNU tar; plain files and folders only."""
    extended: dict[str, str] = {}
    headers = 0
    while (header := _tar_header(stream)) is not None:
        headers += 1
        if headers > 2 * limits.members:
            raise ArchiveError(f"holds more than {limits.members} members")
        if header.kind in UNSUPPORTED:
            raise ArchiveError(f"member {short(header.name)} is {UNSUPPORTED[header.kind]}")
        if header.kind in b"xgL":
            extended |= _extended(stream, header)
            continue
        if header.kind not in b"05\0":
            raise ArchiveError(f"member {short(header.name)} is of unknown kind {header.kind!r}")
        member = _tar_member(header, extended)
        extended = {}
        start = stream.tell()
        # Before skipping the member, as that would unpack it.
        _require_below(ceiling, start + member.size)
        yield member, partial(_exactly, stream, member.size)
        stream.seek(start + _padded(member.size))
    if not headers:
        raise ArchiveError("is empty")


def _tar_member(header: _Header, extended: dict[str, str]) -> Member:
    name, size = extended.get("path", header.name), int(extended.get("size", header.size))
    if size < 0:
        raise ArchiveError(f"member {short(name)} has a negative size")
    folder = header.kind == b"5" or name.endswith("/")
    return Member(name, 0 if folder and header.kind == b"5" else size, folder)


def _tar_header(stream: BufferedIOBase) -> _Header | None:
    """The next header; None: the block of zeros at the end of an archive."""
    block = stream.read(BLOCK)
    if len(block) < BLOCK:
        raise EOFError
    if not any(block):
        return None
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != _number(block[148:156]):
        raise ArchiveError("is damaged (a header's checksum) or no tar, tar.gz or zip archive")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return _Header(name, _number(block[124:136]), block[156:157])


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode()


def _number(field: bytes) -> int:
    """Octal digits, or GNU's big-endian binary where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
    return int(field.strip(b" \0") or b"0", 8)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _extended(stream: BufferedIOBase, header: _Header) -> dict[str, str]:
    """Name and size of the next member by its extended header; one for all members may have neither."""
    if not 0 <= header.size <= EXTENDED:
        raise ArchiveError(f"has an extended header of {header.size} bytes; allowed: {EXTENDED}")
    data = b"".join(_exactly(stream, _padded(header.size)))[: header.size]
    if header.kind == b"L":
        return {"path": _text(data)}
    records = dict(_records(data))
    if any(key.startswith("GNU.sparse") or key == "linkpath" for key in records):
        raise ArchiveError("holds a sparse file or a link")
    values: dict[str, str] = {key: records[key] for key in ("path", "size") if key in records}
    if header.kind == b"g" and values:
        raise ArchiveError("gives all its members the same name or size")
    return values


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """The ``LENGTH key=value`` lines of a pax header."""
    while data:
        digits = data.partition(b" ")[0]
        length = int(digits)
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not equals or not len(digits) + 1 < length <= len(data):
            raise ArchiveError("has a damaged extended header")
        yield key.decode(), value.decode()
        data = data[length:]


def _exactly(stream: BufferedIOBase | IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = stream.read(min(size, CHUNK))
        if not chunk:
            raise EOFError
        yield chunk
        size -= len(chunk)


def _zip_entries(path: Path, limits: Limits) -> Iterator[tuple[Member, Chunks]]:
    with path.open("rb") as file:
        _require_few(file, path.stat().st_size, limits)
    with zipfile.ZipFile(path) as archive:
        _require_below(_ceiling(path, limits), sum(info.file_size for info in archive.infolist()))
        for info in archive.infolist():
            if fault := _zip_fault(info):
                raise ArchiveError(f"member {short(info.orig_filename)} {fault}")
            yield (
                Member(info.orig_filename, info.file_size, info.orig_filename.endswith("/")),
                partial(_zip_chunks, archive, info),
            )


def _zip_fault(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link, a pipe or a device"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {info.compress_type}; allowed: stored, deflated"
    return ""


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as stream:
        yield from _exactly(stream, info.file_size)


def _require_few(file: BufferedIOBase, size: int, limits: Limits) -> None:
    """Count a zip's members before zipfile makes an object of each: the stated and the real number."""
    end = _find_end(file, size)
    count, length = struct.unpack_from("<HL", _at(file, end, 22), 10)
    wide = _at(file, end - 76, 76) if end >= 76 else b""
    if wide[56:60] == b"PK\6\7" and wide[:4] == b"PK\6\6":
        (count, length), end = struct.unpack_from("<QQ", wide, 32), end - 76
    if count > limits.members:
        raise ArchiveError(f"holds {count} members; allowed: {limits.members}")
    if length > min(DIRECTORY, end):
        raise ArchiveError(f"has a directory of {length} bytes; allowed: {min(DIRECTORY, end)}")
    directory = _at(file, end - length, length)
    position = members = 0
    while position + 46 <= length and members <= limits.members:
        position += 46 + sum(struct.unpack_from("<HHH", directory, position + 28))
        members += 1
    if members > limits.members:
        raise ArchiveError(f"holds more than {limits.members} members; allowed: {limits.members}")


def _find_end(file: BufferedIOBase, size: int) -> int:
    """The offset of the end-of-central-directory record, found as zipfile finds it."""
    last = _at(file, max(size - 22, 0), 22)
    if last[:4] == b"PK\5\6" and last[-2:] == b"\0\0":
        return size - 22
    start = max(size - 22 - EXTENDED, 0)
    offset = _at(file, start, size - start).rfind(b"PK\5\6")
    if offset < 0:
        raise zipfile.BadZipFile
    return start + offset


def _at(file: BufferedIOBase, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
