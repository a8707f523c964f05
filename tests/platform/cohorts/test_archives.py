"""From a public archive to a folder of scans, with a local server."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from platform.cohorts.archives import ARCHIVES, Archive, acquire
from platform.cohorts.http_client import RetryPolicy
from typing import Any

import pytest
from rich.console import Console

from tests.platform.cohorts.conftest import Site
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


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass(frozen=True)
class Publisher:
    """A server with both archives, and a root to which they are fetched."""

    site: Site
    folder: Path

    def publish_scans(self, members: Mapping[str, bytes]) -> None:
        """With a record as of Zenodo's API, without what is not read."""
        scans = self.site.files["scans.zip"] = zipped(members)
        links = [{"links": {"self": self.site.url(name)}} for name in ("README.pdf", "scans.zip")]
        readme = {"key": "README.pdf", "size": 5, "checksum": "md5:0"} | links[0]
        archive = {"key": "scans.zip", "size": len(scans), "checksum": f"md5:{md5(scans)}"} | links[1]
        self.publish_record(json.dumps({"id": 15374449, "files": [readme, archive]}))

    def publish_record(self, text: str) -> None:
        self.site.files["record.json"] = text.encode()

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def requests(self) -> list[str]:
        return [path for path, _ in self.site.requests]

    def acquire(self, source: str, root: str = "root") -> Path:
        return acquire(source, self.folder / root, QUIET, self.folder / "archives.json", QUICK)

    def refusal(self, source: str, root: str = "root") -> str:
        with pytest.raises(InputError) as error:
            self.acquire(source, root)
        assert "\n" not in str(error.value)
        return str(error.value)

    def put_by_hand(self, *names: str) -> None:
        self.root.mkdir()
        for name in names:
            (self.root / name).write_bytes(self.site.files[name])


@pytest.fixture
def publisher(site: Site, tmp_path: Path) -> Publisher:
    publisher = Publisher(site, tmp_path)
    publisher.publish_scans(ZENODO)
    entries: dict[str, Any] = json.loads(ARCHIVES.read_text())
    entries["zenodo"]["record"] = site.url("record.json")
    for file in entries["ixi"]["files"]:
        name = file["name"]
        archive = site.files[name] = tarred(IXI[name[4:6]])
        file |= {"url": site.url(name), "checksum": md5(archive), "size": len(archive)}
    (tmp_path / "archives.json").write_text(json.dumps(entries))
    return publisher


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_zenodo_is_fetched_verified_and_unpacked(publisher: Publisher) -> None:
    root, folder = publisher.root, publisher.acquire("zenodo")
    assert folder == root / "zenodo"
    assert contents(folder) == {n: c for n, c in ZENODO.items() if c != b"not wanted"}
    assert publisher.requests == ["/record.json", "/scans.zip"]
    names = ["scans.zip", "zenodo", "zenodo.json", "zenodo.record.json"]
    assert sorted(p.name for p in root.iterdir()) == names
    marker = json.loads((root / "zenodo.json").read_text())
    assert marker["archives"] == {"scans.zip": f"md5:{md5(publisher.site.files['scans.zip'])}"}
    low, high = sorted(zenodo.visits(folder), key=lambda visit: visit.domain, reverse=True)
    scans = [path and path.read_bytes() for path in (low.t1, low.t2, high.t1, high.t2)]
    assert scans == [b"low T1", b"low T2", b"high T1", None]


def test_ixi_is_fetched_and_only_hammersmith_unpacked(publisher: Publisher) -> None:
    folder = publisher.acquire("ixi")
    assert contents(folder) == {"IXI012-HH-1211-T1.nii.gz": b"1", "IXI012-HH-1211-T2.nii.gz": b"2"}
    assert sorted(publisher.requests) == ["/IXI-T1.tar", "/IXI-T2.tar"]
    assert [visit.subject for visit in ixi.visits(folder)] == ["IXI012"]


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_a_folder_that_was_unpacked_or_made_by_hand_is_used(source: str, publisher: Publisher) -> None:
    first = publisher.acquire(source)
    publisher.site.requests.clear()
    for archive in publisher.root.glob("*.[zt]*"):
        archive.unlink()
    assert publisher.acquire(source) == first
    by_hand = publisher.folder / "other" / source
    by_hand.mkdir(parents=True)
    assert publisher.acquire(source, "other") == by_hand and publisher.requests == []


def test_archives_and_records_put_there_by_hand_need_no_network(publisher: Publisher) -> None:
    publisher.put_by_hand("IXI-T1.tar", "IXI-T2.tar", "scans.zip", "record.json")
    (publisher.root / "record.json").rename(publisher.root / "zenodo.record.json")
    assert len(contents(publisher.acquire("ixi"))) == 2
    assert len(contents(publisher.acquire("zenodo"))) == 5
    assert publisher.requests == []


def test_an_archive_put_there_by_hand_must_have_its_checksum(publisher: Publisher) -> None:
    publisher.put_by_hand("IXI-T2.tar")
    (publisher.root / "IXI-T1.tar").write_bytes(b"cut off")
    message = publisher.refusal("ixi")
    assert f"{publisher.root / 'IXI-T1.tar'}: md5" in message and "delete it" in message
    assert publisher.requests == []


@pytest.mark.parametrize("source", ["zenodo", "ixi"])
def test_without_a_network_the_message_says_how_to_do_it_by_hand(source: str, publisher: Publisher) -> None:
    file = publisher.folder / "archives.json"
    file.write_text(file.read_text().replace(publisher.site.url(""), "http://127.0.0.1:9/"))
    message = publisher.refusal(source)
    page = json.loads(ARCHIVES.read_text())[source]["page"]
    assert "cannot be reached" in message and page in message and str(publisher.root / source) in message


def test_a_wrong_checksum_at_the_publisher_leaves_no_archive(publisher: Publisher) -> None:
    files = publisher.site.files
    files["IXI-T1.tar"] = b"x" * len(files["IXI-T1.tar"])
    assert "twice" in publisher.refusal("ixi")
    assert not (publisher.root / "ixi").exists() and not (publisher.root / "IXI-T1.tar").exists()


def test_a_malicious_archive_with_the_right_checksum_is_not_unpacked(publisher: Publisher) -> None:
    publisher.publish_scans({**ZENODO, "../../evil": b"evil"})
    assert "leads out of the folder" in publisher.refusal("zenodo")
    assert sorted(p.name for p in publisher.root.iterdir()) == ["scans.zip", "zenodo.record.json"]


FILE = '{{"files": [{{"key": "{}", "size": 1, "checksum": "md5:0", "links": {{"self": "{}"}}}}]}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>", "is no Zenodo record"),
        ("[]", "is no Zenodo record"),
        ('{"files": [{"key": "a.zip"}]}', "is no Zenodo record"),
        ('{"files": []}', "lists no archive"),
        (FILE.format("../a.zip", "http://h/a"), "allowed: a plain file name"),
        (FILE.format("a.zip", "file:///a.zip"), "allowed: http"),
    ],
)
def test_a_wrong_record_is_refused_and_not_saved(text: str, reason: str, publisher: Publisher) -> None:
    publisher.publish_record(text)
    assert reason in publisher.refusal("zenodo")
    assert list(publisher.root.iterdir()) == []


def test_a_folder_of_other_archives_or_below_a_file_is_refused(publisher: Publisher) -> None:
    publisher.acquire("ixi")
    marker = publisher.root / "ixi.json"
    marker.write_text(marker.read_text().replace("md5:", "md5:0"))
    assert "names other archives" in publisher.refusal("ixi")
    marker.unlink()
    assert publisher.acquire("ixi").name == "ixi"
    (publisher.folder / "file").touch()
    assert str(publisher.folder / "file/root") in publisher.refusal("ixi", "file/root")


def test_the_data_file_names_the_published_archives() -> None:
    ours = Archive.read("ixi", ARCHIVES)
    assert {file.name: file.checksum for file in ours.files} == {
        "IXI-T1.tar": "34901a0593b41dd19c1a1f746eac2d58",
        "IXI-T2.tar": "e3140d78730ecdd32ba92da48c0a9aaa",
    }
    assert [round(file.size / 2**30, 2) for file in ours.files if file.size] == [4.51, 3.59]
    assert ours.licence == "CC BY-SA 3.0"
    assert Archive.read("zenodo", ARCHIVES).record == "https://zenodo.org/api/records/15374449"
