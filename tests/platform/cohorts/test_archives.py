"""From a public archive to a folder of scans, with a local server."""

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
from platform.cohorts.http_client import RetryPolicy
from threading import Thread
from typing import Any

import pytest
from rich.console import Console

from trainers.cohorts.scans import ixi, zenodo
from trainers.errors import InputError

QUIET = Console(quiet=True)
QUICK = RetryPolicy(connect=2.0, stall=1.0, tries=2, backoff=0.01)
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
    """A server of ``folder``, its requests, and the data file that names it."""

    folder: Path
    url: str
    requests: list[str]
    archives: Path


class Handler(SimpleHTTPRequestHandler):
    """Remembers its requests."""

    def __init__(self, requests: list[str], *rest: Any, **more: Any) -> None:
        self.requests = requests
        super().__init__(*rest, **more)

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.requests.append(self.path)
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
    """A record of Zenodo's API, without what is not read."""
    scans = folder / "scans.zip"
    self = {"links": {"self": f"{url}/scans.zip"}}
    about = {"key": "scans.zip", "size": scans.stat().st_size, "checksum": f"md5:{md5(scans)}"}
    readme = {"key": "README.pdf", "size": 5, "checksum": "md5:0", "links": {"self": f"{url}/README.pdf"}}
    return {"id": 15374449, "files": [readme, about | self]}


def entries(folder: Path, url: str) -> dict[str, Any]:
    """archives.json, its addresses replaced."""
    values: dict[str, Any] = json.loads(ARCHIVES.read_text())
    values["zenodo"]["record"] = f"{url}/record.json"
    for file in values["ixi"]["files"]:
        path = folder / file["name"]
        file |= {"url": f"{url}/{path.name}", "checksum": md5(path), "size": path.stat().st_size}
    return values


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder, requests = tmp_path / "site", list[str]()
    folder.mkdir()
    make_archives(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, requests, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    (folder / "record.json").write_text(json.dumps(record(folder, url)))
    (tmp_path / "archives.json").write_text(json.dumps(entries(folder, url)))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Site(folder, url, requests, tmp_path / "archives.json")
    server.shutdown()
    server.server_close()


def fails(source: Any, root: Path, site: Site) -> str:
    with pytest.raises(InputError) as error:
        acquire(source, root, QUIET, site.archives, QUICK)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_zenodo_is_fetched_verified_and_unpacked(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "root"
    folder = acquire("zenodo", root, QUIET, site.archives, QUICK)
    assert folder == root / "zenodo"
    assert contents(folder) == {n: c for n, c in ZENODO.items() if c != b"not wanted"}
    assert site.requests == ["/record.json", "/scans.zip"]
    names = ["scans.zip", "zenodo", "zenodo.json", "zenodo.record.json"]
    assert sorted(p.name for p in root.iterdir()) == names
    marker = json.loads((root / "zenodo.json").read_text())
    assert marker["archives"] == {"scans.zip": f"md5:{md5(site.folder / 'scans.zip')}"}
    low, high = sorted(zenodo.visits(folder), key=lambda visit: visit.domain, reverse=True)
    assert low.t1 is not None and low.t1.read_bytes() == b"low T1"
    assert low.t2 is not None and low.t2.read_bytes() == b"low T2"
    assert high.t1 is not None and high.t1.read_bytes() == b"high T1" and high.t2 is None


def test_ixi_is_fetched_and_only_hammersmith_unpacked(site: Site, tmp_path: Path) -> None:
    folder = acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK)
    assert contents(folder) == {"IXI012-HH-1211-T1.nii.gz": b"1", "IXI012-HH-1211-T2.nii.gz": b"2"}
    assert sorted(site.requests) == ["/IXI-T1.tar", "/IXI-T2.tar"]
    assert [visit.subject for visit in ixi.visits(folder)] == ["IXI012"]


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_a_folder_that_was_unpacked_or_made_by_hand_is_used(source: Any, site: Site, tmp_path: Path) -> None:
    first = acquire(source, tmp_path / "root", QUIET, site.archives, QUICK)
    site.requests.clear()
    for archive in (tmp_path / "root").glob("*.[zt]*"):
        archive.unlink()
    assert acquire(source, tmp_path / "root", QUIET, site.archives, QUICK) == first
    by_hand = tmp_path / "other" / source
    by_hand.mkdir(parents=True)
    assert acquire(source, tmp_path / "other", QUIET, site.archives, QUICK) == by_hand
    assert site.requests == []


def copy_by_hand(root: Path, site: Site, *names: str) -> None:
    root.mkdir()
    for name in names:
        (root / name).write_bytes((site.folder / name).read_bytes())


def test_archives_and_records_put_there_by_hand_need_no_network(site: Site, tmp_path: Path) -> None:
    copy_by_hand(tmp_path / "root", site, "IXI-T1.tar", "IXI-T2.tar", "scans.zip", "record.json")
    (tmp_path / "root" / "record.json").rename(tmp_path / "root" / "zenodo.record.json")
    assert len(contents(acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK))) == 2
    assert len(contents(acquire("zenodo", tmp_path / "root", QUIET, site.archives, QUICK))) == 5
    assert site.requests == []


def test_an_archive_put_there_by_hand_must_have_its_checksum(site: Site, tmp_path: Path) -> None:
    copy_by_hand(tmp_path / "root", site, "IXI-T2.tar")
    (tmp_path / "root" / "IXI-T1.tar").write_bytes(b"cut off")
    message = fails("ixi", tmp_path / "root", site)
    assert f"{tmp_path / 'root' / 'IXI-T1.tar'}: md5" in message and "delete it" in message
    assert site.requests == []


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_without_a_network_it_is_said_how_to_do_it_by_hand(source: Any, site: Site, tmp_path: Path) -> None:
    site.archives.write_text(site.archives.read_text().replace(site.url, "http://127.0.0.1:9"))
    message = fails(source, tmp_path / "root", site)
    page = json.loads(ARCHIVES.read_text())[source]["page"]
    assert "cannot be reached" in message and page in message and str(tmp_path / "root" / source) in message


def test_a_wrong_checksum_at_the_publisher_leaves_no_archive(site: Site, tmp_path: Path) -> None:
    (site.folder / "IXI-T1.tar").write_bytes(b"x" * (site.folder / "IXI-T1.tar").stat().st_size)
    assert "twice" in fails("ixi", tmp_path / "root", site)
    assert not (tmp_path / "root" / "ixi").exists() and not (tmp_path / "root" / "IXI-T1.tar").exists()


def test_a_malicious_archive_with_the_right_checksum_is_not_unpacked(site: Site, tmp_path: Path) -> None:
    with zipfile.ZipFile(site.folder / "scans.zip", "a") as archive:
        archive.writestr("../../evil", b"evil")
    (site.folder / "record.json").write_text(json.dumps(record(site.folder, site.url)))
    assert "leads out of the folder" in fails("zenodo", tmp_path / "root", site)
    assert sorted(p.name for p in (tmp_path / "root").iterdir()) == ["scans.zip", "zenodo.record.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
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
def test_a_wrong_record_is_refused_and_not_saved(text: str, reason: str, site: Site, tmp_path: Path) -> None:
    (site.folder / "record.json").write_text(text)
    assert reason in fails("zenodo", tmp_path / "root", site)
    assert list((tmp_path / "root").iterdir()) == []


def test_a_folder_of_other_archives_or_below_a_file_is_refused(site: Site, tmp_path: Path) -> None:
    acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK)
    marker = tmp_path / "root" / "ixi.json"
    marker.write_text(marker.read_text().replace("md5:", "md5:0"))
    assert "names other archives" in fails("ixi", tmp_path / "root", site)
    marker.unlink()
    assert acquire("ixi", tmp_path / "root", QUIET, site.archives, QUICK).name == "ixi"
    (tmp_path / "file").touch()
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
