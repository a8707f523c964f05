"""The quality page: outliers in closed form, statuses, histograms; no name in it can run anything."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from platform.cohorts import quality_page
from platform.cohorts.quality_page import Card, marked, outliers, strips, write_page
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainers import weights
from trainers.cohorts.scans.pipeline import Workspace

EVIL = "sub-<script>alert(1)</script>"


def card(name: str, domain: str = "64mT", status: str = "prepared", **numbers: float) -> Card:
    return Card(name, "train", domain, status, (), numbers, {}, {}, {})


@pytest.mark.parametrize(
    ("values", "found"),
    [
        # median 5, MAD 1: 0.6745 |x - 5| > 3.5 from |x - 5| > 5.189 on
        ([4, 4, 5, 5, 6, 6, 10.18], []),
        ([4, 4, 5, 5, 6, 6, 10.20], [6]),
        ([4, 4, 5, 5, 6, 6, -0.18], []),
        ([4, 4, 5, 5, 6, 6, -0.20], [6]),
        ([5, 5, 5, 5, 5, 5.001], [5]),  # MAD 0: whatever differs
        ([5, 5, 5, 5, 5], []),
        ([0, 0, 0, 1000], []),  # too few to tell
        ([], []),
    ],
)
def test_outliers_have_a_modified_z_score_above_three_and_a_half(
    values: list[float], found: list[int]
) -> None:
    assert np.flatnonzero(outliers(np.array(values, float))).tolist() == found


def test_visits_are_compared_only_at_their_own_field() -> None:
    low = [card(f"low-{i}", brain_ml=1400 + 10 * i) for i in range(5)]
    high = [card(f"high-{i}", domain="3T", brain_ml=1700 + 10 * i) for i in range(5)]
    assert marked([*low, *high]) == [*low, *high]
    odd = card("odd", brain_ml=1720)  # one of many at 3 T, alone at 64 mT
    found = {c.id: c for c in marked([*low, *high, odd])}
    assert found["odd"].status == "check"
    assert found["odd"].notes == ("brain volume (ml) 1720, others 1425",)
    assert [c.id for c in found.values() if c.notes] == ["odd"]


def test_an_excluded_visit_stays_so_and_keeps_its_reason() -> None:
    cards = [card(f"v{i}", similarity_t2_t1=1.2 + i / 1000) for i in range(6)]
    excluded = Card("bad", "val", "64mT", "excluded", ("flagged",), {"similarity_t2_t1": 1.0}, {}, {}, {})
    found = marked([*cards, excluded])[-1]
    assert (found.status, found.notes[0]) == ("excluded", "flagged")
    assert "T2 to T1 (NMI) 1, " in found.notes[1]


def test_dots_lie_between_the_least_and_the_greatest() -> None:
    cards = [card("a", brain_ml=1000), card("b", brain_ml=2000), card("c", brain_ml=1250, status="check")]
    (strip,) = strips(cards)
    assert (strip["label"], strip["low"], strip["high"]) == ("64mT brain volume (ml)", 1000, 2000)
    assert [(dot["x"], dot["id"], dot["status"]) for dot in strip["dots"]] == [
        *[(0, "a", "prepared"), (100, "b", "prepared"), (25, "c", "check")],
    ]
    (alone,) = strips(cards[:1])
    assert [dot["x"] for dot in alone["dots"]] == [0]
    assert strips([card("none")]) == []


def test_a_histogram_is_a_closed_path_whose_peak_inside_reaches_the_top() -> None:
    counts = np.array([0.9, 0.1, 0.2, 0.05, 0.4])  # the ends hold what was clipped
    path = quality_page._path(counts)
    assert path.startswith("M0,30 L") and path.endswith(" L100,30 Z")
    points = [tuple(map(float, p.split(","))) for p in path[7:-10].split(" L")]
    assert points == [(0, 1), (25, 15.5), (50, 1), (75, 22.8), (100, 1)]
    assert "nan" not in quality_page._path(np.zeros(5))


class Page(HTMLParser):
    """Tags, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def prepared(
    folder: Path, name: str, domain: str = "64mT", warnings: tuple[str, ...] = (), **more: Any
) -> Path:
    """A prepared visit, as it is published."""
    facts = {
        "brain_ml": 1500.0,
        "brain_mask": "template",
        "similarity_t2_t1": 1.2,
        "warnings": list(warnings),
        "visit": {"t1": f"/data/{name}_T1w.nii.gz", "t2": f"/data/{name}_T2w.nii.gz", "mask": None},
        "seconds": 31.4,
        "peak_gib": 1.25,
        **more,
    }
    if domain == "3T":
        facts |= {"target": "sub-a_64mT-0123abcd", "similarity_to_target": 1.1}
    rows, columns = torch.meshgrid(torch.arange(18), torch.arange(40), indexing="ij")
    grey = {"T1": 10 * rows, "T2": 5 * columns}
    look = {f"picture {c}": x[..., None].repeat(1, 1, 3).to(torch.uint8) for c, x in grey.items()}
    look |= {f"histogram {c}": torch.rand(48) for c in ("T1", "T2")}
    weights.publish(folder / name.replace("/", "_"), {"look": look}, facts, "prepared visit")
    return folder / name.replace("/", "_")


def left(folder: Path) -> list[dict[str, str]]:
    return [
        {"file": f"{folder}/{EVIL}_{n}.nii", "kind": "a localizer", "reason": "acq-scout"} for n in (1, 2)
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Prepared visits, with an outlier and a flagged one that was included; three excluded."""
    rows = []

    def add(name: str, domain: str, reason: str = "", folder: Path | None = None) -> None:
        place = folder and str(folder)
        rows.append({"id": name, "split": "train", "domain": domain, "folder": place, "reason": reason})

    for name in ("sub-a", "sub-b", "sub-c", EVIL):
        add(f"{name}_64mT", "64mT", "", prepared(tmp_path / "visits", f"{name}_64mT"))
    add("sub-d_64mT", "64mT", "", prepared(tmp_path / "visits", "sub-d_64mT", brain_ml=1900.0))
    flagged = prepared(tmp_path / "visits", "sub-e_3T", "3T", ("T1: no brain <found>",))
    add("sub-e_3T", "3T", "", flagged)
    out = prepared(tmp_path / "visits", "sub-f_3T", "3T", ("T2: odd",))
    add("sub-f_3T", "3T", "flagged: T2: odd", out)
    add("sub-g_64mT", "64mT", "excluded by hand")
    add("sub-h_64mT", "64mT", "/data/x.nii: is constant (0); allowed: a scan with contrast")
    place = Workspace(tmp_path)
    outcome = {"source": "folder", "visits": rows, "left": left(tmp_path), "notes": ["without a row: sub-z"]}
    place.outcome.write_text(json.dumps(outcome))
    return place


@pytest.fixture
def page(workspace: Workspace) -> Page:
    """The page of the workspace."""
    write_page(workspace, workspace.folder)
    return Page((workspace.folder / "quality.html").read_text())


def test_the_page_shows_every_visit_and_every_picture_and_runs_nothing(
    workspace: Workspace, page: Page
) -> None:
    assert page.all("script") == [] and EVIL + "_64mT" in page.words
    assert not [attrs for _, attrs in page.tags for key in attrs if key.startswith("on")]
    articles = page.all("article")
    statuses = {f"{name}_64mT": "prepared" for name in ("sub-a", "sub-b", "sub-c", EVIL)}
    statuses |= {"sub-d_64mT": "check", "sub-e_3T": "check"}
    statuses |= {"sub-f_3T": "excluded", "sub-g_64mT": "excluded", "sub-h_64mT": "excluded"}
    assert {a["id"]: a["class"] for a in articles} == statuses
    assert [a["class"] for a in articles] == ["excluded"] * 3 + ["check"] * 2 + ["prepared"] * 4
    images = page.all("img")
    assert len(images) == 7 * 2 and all(str(i["src"]).startswith("data:image/jpeg;base64,") for i in images)
    assert len([attrs for attrs in page.all("path") if str(attrs["d"]).startswith("M0,30")]) == 7 * 2
    assert "T1: no brain <found>" in page.words
    assert {"all 9", "to check 2", "excluded 3"} <= set(page.words)
    assert workspace.exclusions.name in page.words
    assert {"without a row: sub-z", "2 files that are not used", f"{EVIL}_1.nii"} <= set(page.words)
    links = [str(a) for _, attrs in page.tags for key, a in attrs.items() if key in ("src", "href")]
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)


def test_every_dot_is_a_link_to_its_visit(page: Page) -> None:
    anchors = {f"#{a['id']}" for a in page.all("article")}
    dots = [str(a["href"]) for a in page.all("a")]
    assert len(dots) == 7 + 7 + 2 and set(dots) <= anchors
    assert all(0 <= float(str(c["cx"]).rstrip("%")) <= 100 for c in page.all("circle"))


def test_visits_to_check_and_excluded_ones_are_printed(workspace: Workspace) -> None:
    *lines, last = write_page(workspace, workspace.folder)
    assert lines == [
        "without a row: sub-z",
        f"2 files are not used: 2 a localizer; see {workspace.files}",
        "sub-f_3T: excluded: flagged: T2: odd",
        "sub-h_64mT: excluded: /data/x.nii: is constant (0); allowed: a scan with contrast",
        "sub-d_64mT: brain volume (ml) 1900, others 1500",
        "sub-e_3T: T1: no brain <found>",
    ]
    page = workspace.folder / "quality.html"
    assert last == f"6 of 9 visits prepared; look at {page}, edit {workspace.exclusions} and run again"


def test_pictures_on_the_page_are_those_that_were_prepared(workspace: Workspace, page: Page) -> None:
    source = str(next(i["src"] for i in page.all("img") if i["alt"] == "sub-a_64mT T1"))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), float)
    stored = weights.read_tensors(workspace.visits / "sub-a_64mT", "look")["picture T1"].numpy()
    assert shown.shape == stored.shape
    assert np.abs(shown - stored).max() < 5


def test_a_page_without_prepared_visits_is_written(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    row = {"id": "sub-a_64mT", "split": "train", "domain": "64mT", "folder": None, "reason": "bad"}
    place.outcome.write_text(json.dumps({"source": "folder", "visits": [row], "left": [], "notes": []}))
    assert write_page(place, tmp_path)[-1].startswith("0 of 1 visits prepared")
    assert len(Page((tmp_path / "quality.html").read_text()).all("article")) == 1


@pytest.mark.parametrize("table", [False, True])
def test_the_page_holds_no_path_and_no_name_of_a_tables_file(table: bool, tmp_path: Path) -> None:
    data = tmp_path / "DOE^JANE_19700101"
    data.mkdir()
    stem = "jane_doe" if table else "sub-a_64mT"
    files = {"t1": f"{data}/{stem}_T1w.nii.gz", "t2": f"{data}/{stem}_T2w.nii.gz", "mask": None}
    place = prepared(tmp_path / "visits", "sub-a_64mT", visit={**files, "t1": "/elsewhere/JANE.nii"})
    good = {
        "id": "sub-a_64mT",
        "split": "train",
        "domain": "64mT",
        "folder": str(place),
        "reason": "",
        **files,
    }
    reason = f"{files['t1']}: 3 T by {data}/{stem}_T1w.json and {data}/T1w.json (see {tmp_path}/visits/a.txt)"
    bad = {**good, "id": "sub-b_64mT", "folder": None, "reason": reason}
    notes = [f"{data / 'scans.csv' if table else data / 'participants.tsv'}: a note"]
    outcome = {"source": "folder", "visits": [good, bad], "left": [], "notes": notes}
    (tmp_path / "outcome.json").write_text(json.dumps(outcome))
    printed = write_page(Workspace(tmp_path), data / "scans.csv" if table else data)
    assert any(reason in line for line in printed)
    text = (tmp_path / "quality.html").read_text()
    assert not [word for word in ("DOE", "jane_doe", "JANE", str(tmp_path)) if word in text]
    words = Page(text).words
    names = ("T1.nii.gz", "T2.nii.gz") if table else (f"{stem}_T1w.nii.gz", f"{stem}_T2w.nii.gz")
    assert ", ".join(names) in words and ("the table" if table else "participants.tsv") + ": a note" in words
    sidecar = "T1.json" if table else f"{stem}_T1w.json"
    assert f"{names[0]}: 3 T by {sidecar} and T1w.json (see visits/a.txt)" in words
