"""The group level: a page of whatever is in the folder, and a text that is right where scans differ."""

import json
from pathlib import Path
from platform.storage import data_set, outcomes
from platform.translation import derivatives, group
from typing import Any

import numpy as np
import pytest

from tests.platform.cohorts.test_quality_page import Page
from trainers.cohorts.scans.visits import Selection, Visit
from trainers.errors import InputError

MOVED = np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3)
FACTS: dict[str, Any] = {
    "Description": "a scan",
    "Sources": ["bids:raw:x"],
    "SkullStripped": True,
    "program": f"{data_set.GENERATOR} 1",
    "model": "models:/a@champion",
    "version": "3",
    "method": "unsb",
    "steps": 5,
    "normalisation": "by percentiles",
    "draws": 1,
    "preprocessing": {"brain_mask": "template", "to_scan": {"T1": np.eye(4).tolist(), "T2": MOVED.tolist()}},
    "software": ["numpy 2.1", "scipy 1.1"],
    "warnings": [],
    "seconds": 3.4,
    "consistency": {"through_plane_change": 1.25, "slice_shift": None},
    "psnr_db": {"output": 21.5},
}


def write(root: Path, visit: str, contrast: str = "T1", picture: bool = True, **facts: Any) -> Path:
    """A scan's sidecar, without the scan."""
    anat = root / derivatives.place(visit)
    anat.mkdir(parents=True, exist_ok=True)
    (anat.parent / "figures").mkdir(exist_ok=True)
    if picture:
        (anat.parent / "figures" / f"{visit}_desc-beforeAfter.png").write_bytes(b"a picture")
    path = anat / f"{visit}_desc-enhanced_{contrast}w.json"
    path.write_text(json.dumps({**FACTS, **facts}))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six visits: whole, of two acquisitions, with warnings, without a picture; two were not translated."""
    bids, out = tmp_path / "bids", tmp_path / "out"
    derivatives.describe(out, bids)
    for contrast in ("T1", "T2"):
        write(out, "sub-1_ses-1", contrast)
    for name in ("a", "b"):
        write(out, f"sub-1_ses-2_acq-{name}")
    write(out, "sub-2", warnings=["T1: no <brain>", "T1: dark"], consistency={}, psnr_db={})
    write(out, "sub-3", picture=False)
    visits = [Visit(f"sub-{n}", "", "64mT", bids / f"sub-{n}_T1w.nii", None) for n in (2, 3, 4, 5)]
    reasons = {f"sub-{n}_64mT": why for n, why in ((2, ""), (3, "later"), (4, f"{bids}/x: is <constant>"))}
    outcomes.record(out, bids, Selection(visits), reasons)
    return out


def test_the_page_has_every_picture_warning_and_figure_and_what_was_not_translated(root: Path) -> None:
    page = Page(group.write(root)[0].read_text())
    shown = {a["id"]: a["class"] for a in page.all("article")}
    assert shown == {"sub-1_ses-1": "ok", "sub-1_ses-2": "ok", "sub-2": "check", "sub-3": "check"}
    pictures = [str(image["src"]) for image in page.all("img")]
    assert len(pictures) == 4 and all((root / picture).is_file() for picture in pictures)
    lines = {"T1: no <brain>", "T1: dark", "its picture is missing", "x: is <constant>", "sub-4"}
    lines |= {"a later call failed, and this is of an earlier one: later", "1.25", "21.50"}
    lines |= {"translated 4", "with warnings 2", "not translated 1", "Not requested in any call: sub-5"}
    assert lines <= set(page.words)
    assert {str(a["href"]) for a in page.all("a")} == {*(f"#{a}" for a in shown), *pictures}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        b"\xff\xfe",
        json.dumps({**FACTS, "warnings": None}),
        json.dumps({**FACTS, "preprocessing": []}),
        json.dumps({**FACTS, "steps": "many"}),
        json.dumps({**FACTS, "psnr_db": {"output": "NaN"}, "consistency": None}),
    ],
)
def test_a_sidecar_that_is_damaged_or_of_another_program_is_named(content: str | bytes, root: Path) -> None:
    path = write(root, "sub-9")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = group.write(root)[0].read_text()
    words = Page(text).words
    assert "sub-9/anat/sub-9_desc-enhanced_T1w.json" in words and str(root) not in text
    assert "translated 4" in words


def test_an_empty_folder_and_one_of_failures_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--output: .* holds no translated scan"):
        group.write(tmp_path / "nowhere")
    out, visit = tmp_path / "out", Visit("sub-1", "", "64mT", tmp_path / "sub-1_T1w.nii", None)
    derivatives.describe(out, tmp_path)
    outcomes.record(out, tmp_path, Selection([visit]), {visit.id: "bad"})
    page, text = (path.read_text() for path in group.write(out))
    assert "bad" in Page(page).words
    assert text == "# Methods\n\nNo scan was translated; files.csv has the reasons.\n"


def test_the_text_counts_what_differs(root: Path) -> None:
    given = {"brain_mask": "given", "to_scan": {"T1": np.eye(4).tolist(), "T2": np.eye(4).tolist()}}
    other = {"model": "local", "version": "sha256 1", "method": "cut", "steps": 1}
    other |= {"program": f"{data_set.GENERATOR} 2", "software": ["numpy 2.2"], "draws": 3}
    path = write(root, "sub-6", "T2", preprocessing=given, **other)
    path.with_name(path.name.replace("enhanced", "uncertainty")).touch()
    alone = {"brain_mask": "given", "to_scan": {"T1": np.eye(4).tolist()}}
    write(root, "sub-7", preprocessing=alone, draws=3, views={"axial": {}, "coronal": {}})
    text = group.write(root)[1].read_text()
    for part in (
        "8 scans of 6 visits of 5 subjects, acquired",
        "by mri-translator-search 1, 7 scans; mri-translator-search 2, 1 scan with "
        "models:/a@champion (3; unsb, 5 steps), 7 scans; local (sha256 1; cut, 1 step), 1 scan.",
        "1 visit was not translated (files.csv has the reasons).",
        "by: registration of a template, 6 scans; a given mask or brain-extracted scan, 2 scans.",
        "rigidly (ANTs, Mattes mutual information) in 4 visits. T2 and T1 were brain-extracted on one grid, "
        "which counts as registered, in 1 visit.",
        "the grid of its own scan. Scans in several planes (axial, coronal) were registered",
        "latent: 3 draws, 1 scan.",
        "1 visit has warnings.",
        "Software: numpy 2.1 and 2.2, scipy 1.1;",
    ):
        assert part in text, text
