"""Many malicious archives are refused and leave nothing; good ones are unpacked (RELIABILITY.md row 14)."""

import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from platform.cohorts.archive_reader import Limits
from platform.cohorts.extract import unpack

import pytest

from trainers.errors import InputError

Build = Callable[[Path], object]
FILES = {"Data/64mT data/a.nii.gz": os.urandom(3000), "Data/b.json": b"{}", "c": b"", "Data/Ärger.txt": b"1"}


def tar_of(
    path: Path, members: list[tarfile.TarInfo], how: int = tarfile.PAX_FORMAT, packed: bool = False
) -> None:
    with tarfile.open(path, "w:gz" if packed else "w", format=how) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 4, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = size if kind == tarfile.REGTYPE else 0
    return member


def zip_of(
    path: Path, members: list[tuple[str, bytes]], mode: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr, info.compress_type = name, mode << 16, method
            archive.writestr(info, content)


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A tar header with a valid checksum."""
    block = bytearray(512)
    block[: len(name)], block[124 : 124 + len(size)], block[156:157] = name, size, kind
    block[257:263] = b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def written(data: bytes) -> Build:
    return lambda path: path.write_bytes(data)


def gzipped(data: bytes, times: int = 1) -> Build:
    """``times`` gzip streams one after another, each of the same data."""
    return written(gzip.compress(data) * times)


def central(count: int, stated: int, wide: bool = False) -> bytes:
    """A zip that is a directory only: ``count`` entries, of which it states ``stated``."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 9, 1, *[0] * 6) + b"a"
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[min(stated, 0xFFFF)] * 2, len(directory), 0, 0)
    if wide:
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, stated, stated, len(directory), 0)
        end = end64 + struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1) + end
    return directory + end


def patched_zip(path: Path, offset: int, value: bytes) -> None:
    """A zip of one member with bytes of its central directory's entry replaced."""
    zip_of(path, [("a", b"x" * 100)])
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\1\2") + offset
    data[place : place + len(value)] = value
    path.write_bytes(data)


def overlapping(path: Path) -> None:
    """Two hundred names of one packed megabyte."""
    zip_of(path, [("a", bytes(1 << 20))])
    data = path.read_bytes()
    start, end = data.rindex(b"PK\1\2"), data.rindex(b"PK\5\6")
    directory = data[start:end] * 200
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 200, 200, len(directory), start, 0)
    path.write_bytes(data[:start] + directory + tail)


def cut_zip(path: Path) -> None:
    zip_of(path, [("a", b"1" * 500)])
    os.truncate(path, 60)


NAMES = {
    "dotdot": ("../evil", "leads out"),
    "dotdot_inside": ("a/../../evil", "leads out"),
    "dotdot_last": ("a/..", "leads out"),
    "absolute": ("/tmp/evil", "absolute"),
    "double_slash": ("//evil", "absolute"),
    "backslash": ("..\\evil", "backslash"),
    "drive": ("C:/evil", "drive letter"),
    "newline": ("a\nb", "control characters"),
    "escape": ("a\x1b[2Jb", "control characters"),
    "right_to_left": ("a\u202egnp.exe", "control characters"),
    "long_part": ("a" * 300, "too long a part"),
    "long": ("/".join(["a" * 200] * 6), "too long a name"),
    "deep": ("/".join("a" * 40), "too long a name"),
}
PAIRS = {
    "twice": ("a/b", "a/b"),
    "twice_by_dots": ("a/b", "./a//b"),
    "case": ("a/b", "a/B"),
    "folder_case": ("a/b", "A/c"),
    "accent": ("\u00e9", "e\u0301"),
    "file_and_folder": ("a", "a/b"),
    "folder_and_file": ("a/b", "a"),
}
TAR_KINDS = {
    "symlink": (tarfile.SYMTYPE, "is a symbolic link"),
    "hardlink": (tarfile.LNKTYPE, "is a hard link"),
    "character_device": (tarfile.CHRTYPE, "is a device"),
    "block_device": (tarfile.BLKTYPE, "is a device"),
    "pipe": (tarfile.FIFOTYPE, "is a pipe"),
    "sparse": (tarfile.GNUTYPE_SPARSE, "is a sparse file"),
    "contiguous": (tarfile.CONTTYPE, "unknown kind"),
    "unknown": (b"Z", "unknown kind"),
}
ZIP_KINDS = {"symlink": stat.S_IFLNK, "device": stat.S_IFCHR, "pipe": stat.S_IFIFO}
GOOD = header(b"a", b"00000000004\0") + b"xxxx".ljust(512, b"\0")


def many(count: int, size: int = 0) -> bytes:
    """A tar of ``count`` members of ``size`` zeros, without its end."""
    return b"".join(header(b"%d" % i, b"%011o" % size) + bytes(size) for i in range(count))


def bad_names() -> Iterator[tuple[str, Build, str]]:
    for label, (name, why) in NAMES.items():
        members = [tar_member("fine"), tar_member(name)]
        yield f"tar_{label}", partial(tar_of, members=members), why
        yield f"gnu_{label}", partial(tar_of, members=members, how=tarfile.GNU_FORMAT), why
        yield f"zip_{label}", partial(zip_of, members=[("fine", b"1"), (name, b"1")]), why
    for label, pair in PAIRS.items():
        yield f"tar_{label}", partial(tar_of, members=[tar_member(n) for n in pair], packed=True), "collides"
        yield f"zip_{label}", partial(zip_of, members=[(name, b"1") for name in pair]), "collides"


def bad_kinds() -> Iterator[tuple[str, Build, str]]:
    for label, (kind, why) in TAR_KINDS.items():
        member = tar_member("link", kind, link="../../etc/passwd")
        yield f"tar_{label}", partial(tar_of, members=[tar_member("fine"), member]), why
    for label, mode in ZIP_KINDS.items():
        build = partial(zip_of, members=[("link", b"/etc/passwd")], mode=mode | 0o777)
        yield f"zip_{label}", build, "a link, a pipe or a device"
    far = [tar_member("l", tarfile.SYMTYPE, link="x" * 300)]
    yield "tar_pax_link", partial(tar_of, members=far), "link"
    yield "tar_gnu_link", partial(tar_of, members=far, how=tarfile.GNU_FORMAT), "is a link"


def bad_sizes() -> Iterator[tuple[str, Build, str]]:
    yield "tar_many", lambda path: path.write_bytes(many(10_001)), "more than 10000 members"
    # A million members each, as gzip streams may follow one another.
    yield "gz_million", lambda path: path.write_bytes(gzip.compress(many(10_000)) * 100), "more than 10000"
    yield "gz_million_extended", gzipped(header(b"p", b"0", b"x") * 10_000, 100), "more than 10000 members"
    yield "gz_bomb", gzipped(header(b"a", b"%011o" % (1 << 29)) + bytes(1 << 20)), "expands to 536871424"
    yield "gz_bomb_of_many", lambda path: path.write_bytes(gzip.compress(many(40, 1 << 20))), "expands to"
    yield (
        "tar_huge_member",
        written(header(b"a", b"%011o" % (1 << 31)) + bytes(1024)),
        "holds 2147483648 bytes",
    )
    yield "tar_base_256", written(header(b"a", b"\x80" + b"\xff" * 11) + bytes(1024)), "bytes; allowed"
    yield "tar_all_ones", written(header(b"a", b"\xff" * 12) + bytes(1024)), "bytes; allowed"
    yield "tar_negative", written(header(b"a", b"-0000001000") + bytes(1024)), "negative size"
    yield (
        "tar_huge_extended",
        written(header(b"a", b"%011o" % (1 << 30), b"x") + bytes(1024)),
        "extended header",
    )
    yield (
        "tar_huge_long_name",
        written(header(b"a", b"%011o" % (1 << 30), b"L") + bytes(1024)),
        "extended header",
    )
    yield "zip_bomb", partial(zip_of, members=[("a", bytes(1 << 25))]), "expands to 33554432"
    yield "zip_overlapping", overlapping, "expands to 209715200"
    yield (
        "zip_million",
        written(b"PK\3\4" + central(1_000_000, 1_000_000, wide=True)),
        "holds 1000000 members",
    )
    yield "zip_million_hidden", written(b"PK\3\4" + central(1_000_000, 1)), "more than 10000 members"
    yield "zip_huge_member", partial(patched_zip, offset=24, value=struct.pack("<L", 1 << 31)), "expands to"


def bad_damage() -> Iterator[tuple[str, Build, str]]:
    yield "tar_pax_negative", written(pax(b"12 size=-99\n") + GOOD), "negative size"
    yield "tar_pax_without_end", written(pax(b"0 path=a\n") + GOOD), "damaged extended header"
    yield "tar_pax_too_long", written(pax(b"99 path=a\n") + GOOD), "damaged extended header"
    yield "tar_pax_sparse", written(pax(b"22 GNU.sparse.major=1\n") + GOOD), "sparse"
    yield "tar_pax_for_all", written(pax(b"10 path=a\n", b"g") + GOOD + bytes(1024)), "the same name or size"
    yield "tar_not_utf8", written(header(b"\xff\xfe", b"0") + bytes(1024)), "damaged (Unicode"
    yield "tar_cut_in_data", written(header(b"a", b"%011o" % 5000) + bytes(100)), "damaged (EOFError)"
    yield "tar_cut_in_header", written(GOOD + GOOD[:100]), "damaged (EOFError)"
    yield "tar_without_end", written(GOOD), "damaged (EOFError)"
    yield "tar_sum", written(GOOD[:10] + b"b" + GOOD[11:] + bytes(1024)), "checksum"
    yield "tar_zeros", written(bytes(10240)), "is empty"
    yield "gz_cut", written(gzip.compress(GOOD + bytes(1024))[:-30]), "damaged (EOFError)"
    yield "gz_no_tar", gzipped(b"hello" * 1000), "or no tar"
    yield "garbage", written(b"hello" * 1000), "or no tar"
    yield "nothing", written(b""), "or no tar"
    yield "zip_encrypted", partial(patched_zip, offset=8, value=b"\1\0"), "is encrypted"
    yield "zip_method", partial(patched_zip, offset=10, value=b"\x0c\0"), "packed by method 12"
    yield "zip_longer", partial(patched_zip, offset=24, value=struct.pack("<L", 50)), "damaged (BadZipFile)"
    yield "zip_shorter", partial(patched_zip, offset=24, value=struct.pack("<L", 150)), "damaged (EOFError)"
    yield "zip_sum", partial(patched_zip, offset=16, value=bytes(4)), "damaged (BadZipFile)"
    yield "zip_nul", partial(patched_zip, offset=46, value=b"\0"), "control characters"
    yield "zip_cut", cut_zip, "damaged (BadZipFile)"


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    return header(b"p", b"%011o" % len(records), kind) + records.ljust(512, b"\0")


BAD = {
    label: (build, why)
    for group in (bad_names, bad_kinds, bad_sizes, bad_damage)
    for label, build, why in group()
}


def tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_size for path in folder.rglob("*")}


def refusal(archive: Path, folder: Path, limits: Limits | None = None) -> str:
    """The message of a refusal, which leaves nothing and takes less than a second."""
    before, started = tree(archive.parent), time.process_time()
    with pytest.raises(InputError) as error:
        unpack([archive], folder, limits=limits)
    assert time.process_time() - started < 1
    assert tree(archive.parent) == before
    assert "\n" not in str(error.value) and str(error.value).isprintable() and len(str(error.value)) < 400
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("label", BAD)
def test_a_malicious_archive_is_refused_and_leaves_nothing(label: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    build, why = BAD[label]
    build(archive)
    message = refusal(archive, tmp_path / "new")
    assert str(archive) in message and why in message


def good(path: Path, form: str) -> None:
    if form == "zip":
        return zip_of(path, [("Data/", b""), *FILES.items()])
    with tarfile.open(path, "w:gz" if form == "pax.gz" else "w", format=FORMATS[form]) as archive:
        archive.addfile(tar_member("./", tarfile.DIRTYPE))
        for name, content in FILES.items():
            archive.addfile(tar_member(f"./{name}", size=len(content)), io.BytesIO(content))
    return None


FORMATS = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
    "pax.gz": tarfile.PAX_FORMAT,
}


@pytest.mark.parametrize("form", [*FORMATS, "zip"])
def test_a_good_archive_is_unpacked(form: str, tmp_path: Path) -> None:
    good(tmp_path / "a", form)
    unpack([tmp_path / "a"], tmp_path / "out")
    out = tmp_path / "out"
    files = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert files == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "out"]


@pytest.mark.parametrize("form", ["ustar", "gnu", "pax", "zip"])
def test_long_names_are_read(form: str, tmp_path: Path) -> None:
    name = f"{'x' * 90}/{'y' * 90}"
    if form == "zip":
        zip_of(tmp_path / "a", [(name, b"xxxx")])
    else:
        tar_of(tmp_path / "a", [tar_member(name)], FORMATS[form])
    unpack([tmp_path / "a"], tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"xxxx"


def test_only_what_is_wanted_is_written_of_several_archives(tmp_path: Path) -> None:
    tar_of(tmp_path / "a", [tar_member("a.nii"), tar_member("a.txt")])
    zip_of(tmp_path / "b", [("b.nii", b"1"), ("b.txt", b"1")])
    unpack([tmp_path / "a", tmp_path / "b"], tmp_path / "out", lambda name: name.endswith(".nii"))
    assert tree(tmp_path / "out") == {"a.nii": 4, "b.nii": 1}


def test_a_name_in_two_archives_or_no_wanted_file_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tar_of(tmp_path / name, [tar_member("same.txt")])
    with pytest.raises(InputError, match="collides"):
        unpack([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    with pytest.raises(InputError, match="has none of the required files; not unpacked"):
        unpack([tmp_path / "a"], tmp_path / "out", lambda name: name.endswith(".nii"))
    with pytest.raises(InputError, match="no such file"):
        unpack([tmp_path / "c"], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("limits", [Limits(members=2), Limits(member_bytes=2999), Limits(total_bytes=3002)])
@pytest.mark.parametrize("form", ["ustar", "pax.gz", "zip"])
def test_each_limit_is_the_last_that_is_allowed(form: str, limits: Limits, tmp_path: Path) -> None:
    good(tmp_path / "a", form)
    refusal(tmp_path / "a", tmp_path / "out", limits)
    unpack([tmp_path / "a"], tmp_path / "out", limits=Limits(5 + (form != "zip"), 3000, 3003))


@pytest.mark.parametrize("packed", [True, False])
def test_the_ratio_bounds_packed_archives_only(packed: bool, tmp_path: Path) -> None:
    tar_of(tmp_path / "a", [tar_member("zeros", size=1 << 20)], packed=packed)
    strict = Limits(ratio=20, slack=1 << 19)
    if packed:
        assert "expands" in refusal(tmp_path / "a", tmp_path / "out", strict)
    else:
        unpack([tmp_path / "a"], tmp_path / "out", limits=strict)


def test_an_interrupted_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar_of(tmp_path / "a", [tar_member("a"), tar_member("b")])
    calls: list[str] = []

    def wanted(name: str) -> bool:
        calls.append(name)
        if len(calls) == 4:  # the second of the pass that writes
            raise KeyboardInterrupt
        return True

    with pytest.raises(KeyboardInterrupt):
        unpack([tmp_path / "a"], tmp_path / "out", wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_files_of_a_killed_run_are_removed_and_an_existing_folder_is_kept(tmp_path: Path) -> None:
    tar_of(tmp_path / "a", [tar_member("a")])
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking" / "old").write_text("x")
    unpack([tmp_path / "a"], tmp_path / "out")
    assert set(tree(tmp_path)) == {"a", "out", "out/a"}
    assert "exists" in refusal(tmp_path / "a", tmp_path / "out")


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(tmp_path / "a", "pax")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert "3003 bytes are needed, 100 are free" in refusal(tmp_path / "a", tmp_path / "out")


def test_a_zip_with_a_comment_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("a", b"1")
        archive.comment = b"a comment PK"
    unpack([tmp_path / "a"], tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": 1}
