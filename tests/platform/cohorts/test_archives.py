"""The way from an archive elsewhere to a folder of scans, by a local server that is counted on."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from platform.cohorts.archives import ARCHIVES, Archive, acquire
from platform.cohorts.http_client import Patience
from threading import Thread
from typing import Any

import pytest
from rich.console import Console

from trainers.cohorts.scans import ixi, zenodo
from trainers.errors import InputError

QUIET = Console(quiet=True)
QUICK = Patience(connect=2.0, stall=1.0, tries=2, backoff=0.01)
TOP = "Paired 64mT and 3T Brain MRI Scans of Healthy Subjects for Neuroimaging Research v3/Data"
ZENODO = {
    f"{TOP}/dataset_description.json": b"{}",
    f"{TOP}/64mT data/sub-0011/ses-01/anat/sub-0011_ses-01_run-1_T1w.nii.gz": b"low T1",
    f"{TOP}/64mT data/sub-0011/ses-01/anat/sub-0011_ses-01_run-1_T1w.json": b"{}",
    f"{TOP}/64mT data/sub-0011/ses-01/anat/sub-0011_ses-01_run-2_T2w.nii.gz": b"low T2",
    f"{TOP}/64mT data/sub-0011/ses-01/dwi/sub-0011_ses-01_dwi.nii.gz": b"not wanted",
    f"{TOP}/3T data/sub-0011/anat/sub-0011_acq-highres_T1w.nii.gz": b"high T1",
    f"__MACOSX/{TOP}/3T data/sub-0011/anat/._sub-0011_acq-highres_T1w.nii.gz": b"not wanted",
}
IXI = {
    "T1": {"IXI012-HH-1211-T1.nii.gz": b"1", "IXI002-Guys-0828-T1.nii.gz": b"not wanted"},
    "T2": {"IXI012-HH-1211-T2.nii.gz": b"2"},
}


@dataclass(frozen=True)
class Site:
    """A server of ``folder``, what it was asked for, and the data file that names it."""

    folder: Path
    url: str
    asked: list[str]
    archives: Path


class Handler(SimpleHTTPRequestHandler):
    """Notes what it is asked for."""

    def __init__(self, asked: list[str], *rest: Any, **more: Any) -> None:
        self.asked = asked
        super().__init__(*rest, **more)

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def make_archives(folder: Path) -> None:
    with zipfile.ZipFile(folder / "scans.zip", "w") as archive:
        for name, content in ZENODO.items():
            archive.writestr(name, content)
    for contrast, files in IXI.items():
        with tarfile.open(folder / f"IXI-{contrast}.tar", "w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def record(folder: Path, url: str) -> dict[str, Any]:
    """As Zenodo's API answers, what is not read left out."""
    scans = folder / "scans.zip"
    self = {"links": {"self": f"{url}/scans.zip"}}
    about = {"key": "scans.zip", "size": scans.stat().st_size, "checksum": f"md5:{md5(scans)}"}
    readme = {"key": "README.pdf", "size": 5, "checksum": "md5:0", "links": {"self": f"{url}/README.pdf"}}
    return {"id": 15374449, "files": [readme, about | self]}


def entries(folder: Path, url: str) -> dict[str, Any]:
    """archives.json, its addresses replaced."""
    found: dict[str, Any] = json.loads(ARCHIVES.read_text())
    found["zenodo"]["record"] = f"{url}/record.json"
    for file in found["ixi"]["files"]:
        path = folder / file["name"]
        file |= {"url": f"{url}/{path.name}", "checksum": md5(path), "size": path.stat().st_size}
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder, asked = tmp_path / "site", list[str]()
    folder.mkdir()
    make_archives(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, asked, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    (folder / "record.json").write_text(json.dumps(record(folder, url)))
    (tmp_path / "archives.json").write_text(json.dumps(entries(folder, url)))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Site(folder, url, asked, tmp_path / "archives.json")
    server.shutdown()
    server.server_close()


def fails(source: Any, root: Path, site: Site) -> str:
    with pytest.raises(InputError) as caught:
        acquire(source, root, QUIET, site.archives, QUICK)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_zenodo_is_fetched_verified_and_unpacked(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "root"
    folder = acquire("zenodo", root, QUIET, site.archives, QUICK)
    assert folder == root / "zenodo"
    assert contents(folder) == {n: c for n, c in ZENODO.items() if c != b"not wanted"}
    assert site.asked == ["/record.json", "/scans.zip"]
    assert sorted(p.name for p in root.iterdir()) == [
        "scans.zip",
        "zenodo",
        "zenodo.json",
        "zenodo.record.json",
    ]
    marker = json.loads((root / "zenodo.json").read_text())
    assert marker["archives"] == {"scans.zip": f"md5:{md5(site.folder / 'scans.zip')}"}
    low, high = sorted(zenodo.visits(folder), key=lambda visit: visit.domain, reverse=True)
    assert low.t1 is not None and low.t1.read_bytes() == b"low T1"
    assert low.t2 is not None and low.t2.read_bytes() == b"low T2"
    assert high.t1 is not None and high.t1.read_bytes() == b"high T1" and high.t2 is None


def test_ixi_is_fetched_and_only_hammersmith_unpacked(site: Site, tmp_path: Path) -> None:
    folder = acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK)
    assert contents(folder) == {"IXI012-HH-1211-T1.nii.gz": b"1", "IXI012-HH-1211-T2.nii.gz": b"2"}
    assert sorted(site.asked) == ["/IXI-T1.tar", "/IXI-T2.tar"]
    assert [visit.subject for visit in ixi.visits(folder)] == ["IXI012"]


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_what_is_unpacked_is_used(source: Any, site: Site, tmp_path: Path) -> None:
    first = acquire(source, tmp_path / "root", QUIET, site.archives, QUICK)
    site.asked.clear()
    for archive in (tmp_path / "root").glob("*.[zt]*"):
        archive.unlink()
    assert acquire(source, tmp_path / "root", QUIET, site.archives, QUICK) == first
    assert site.asked == []


def test_a_folder_unpacked_by_hand_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "root" / "ixi").mkdir(parents=True)
    assert acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK) == tmp_path / "root" / "ixi"
    assert site.asked == []


def lay_by_hand(root: Path, site: Site, *names: str) -> None:
    root.mkdir()
    for name in names:
        (root / name).write_bytes((site.folder / name).read_bytes())


def test_archives_laid_by_hand_are_used(site: Site, tmp_path: Path) -> None:
    lay_by_hand(tmp_path / "root", site, "IXI-T1.tar", "IXI-T2.tar")
    assert len(contents(acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK))) == 2
    assert site.asked == []


def test_a_record_laid_by_hand_needs_no_network(site: Site, tmp_path: Path) -> None:
    lay_by_hand(tmp_path / "root", site, "scans.zip", "record.json")
    (tmp_path / "root" / "record.json").rename(tmp_path / "root" / "zenodo.record.json")
    acquire("zenodo", tmp_path / "root", QUIET, site.archives, QUICK)
    assert site.asked == []


def test_an_archive_laid_by_hand_with_a_wrong_sum_is_told(site: Site, tmp_path: Path) -> None:
    lay_by_hand(tmp_path / "root", site, "IXI-T2.tar")
    (tmp_path / "root" / "IXI-T1.tar").write_bytes(b"cut off")
    message = fails("ixi", tmp_path / "root", site)
    assert f"{tmp_path / 'root' / 'IXI-T1.tar'}: md5" in message and "delete it" in message
    assert site.asked == []


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_without_a_network_it_is_said_how_to_do_it_by_hand(source: Any, site: Site, tmp_path: Path) -> None:
    site.archives.write_text(site.archives.read_text().replace(site.url, "http://127.0.0.1:9"))
    message = fails(source, tmp_path / "root", site)
    page = json.loads(ARCHIVES.read_text())[source]["page"]
    assert "cannot be reached" in message and page in message and str(tmp_path / "root" / source) in message


def test_a_wrong_sum_at_the_publisher_leaves_no_archive(site: Site, tmp_path: Path) -> None:
    (site.folder / "IXI-T1.tar").write_bytes(b"x" * (site.folder / "IXI-T1.tar").stat().st_size)
    assert "twice" in fails("ixi", tmp_path / "root", site)
    assert not (tmp_path / "root" / "ixi").exists() and not (tmp_path / "root" / "IXI-T1.tar").exists()


def test_a_hostile_archive_with_the_right_sum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with zipfile.ZipFile(site.folder / "scans.zip", "a") as archive:
        archive.writestr("../../evil", b"evil")
    (site.folder / "record.json").write_text(json.dumps(record(site.folder, site.url)))
    assert "leads out of the folder" in fails("zenodo", tmp_path / "root", site)
    assert sorted(p.name for p in (tmp_path / "root").iterdir()) == ["scans.zip", "zenodo.record.json"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<html>", "is no Zenodo record"),
        ("[]", "is no Zenodo record"),
        ('{"files": [{"key": "a.zip"}]}', "is no Zenodo record"),
        ('{"files": []}', "lists no archive"),
        (
            '{"files": [{"key": "../a.zip", "size": 1, "checksum": "md5:0", "links": {"self": "http://h/a"}}]}',
            "allowed: a plain file name",
        ),
        (
            '{"files": [{"key": "a.zip", "size": 1, "checksum": "md5:0", "links": {"self": "file:///a.zip"}}]}',
            "allowed: http",
        ),
    ],
)
def test_a_record_that_is_none(text: str, told: str, site: Site, tmp_path: Path) -> None:
    (site.folder / "record.json").write_text(text)
    assert told in fails("zenodo", tmp_path / "root", site)
    assert list((tmp_path / "root").iterdir()) == []


def test_a_folder_of_other_archives_is_told(site: Site, tmp_path: Path) -> None:
    acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK)
    marker = tmp_path / "root" / "ixi.json"
    marker.write_text(marker.read_text().replace("md5:", "md5:0"))
    assert "names other archives" in fails("ixi", tmp_path / "root", site)
    marker.unlink()
    assert acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK).name == "ixi"


def test_a_root_that_cannot_be_written_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file" / "root") in fails("ixi", tmp_path / "file" / "root", site)


def test_the_data_file_is_that_of_the_notes() -> None:
    ours = Archive.read("ixi", ARCHIVES)
    assert {file.name: file.checksum for file in ours.files} == {
        "IXI-T1.tar": "34901a0593b41dd19c1a1f746eac2d58",
        "IXI-T2.tar": "e3140d78730ecdd32ba92da48c0a9aaa",
    }
    assert [round(file.size / 2**30, 2) for file in ours.files if file.size] == [4.51, 3.59]
    assert ours.licence == "CC BY-SA 3.0"
    assert Archive.read("zenodo", ARCHIVES).record == "https://zenodo.org/api/records/15374449"
