"""prepare on a folder of scans, by Ray: whole, again, without a visit; and a study uses it."""

import re
from pathlib import Path
from platform import prepare, search
from platform.cohorts import build, export
from platform.execution import cluster
from platform.reporting.console import console
from platform.spaces.loader import load_study
from typing import Any

import pytest

from trainers.cohorts import phantom
from trainers.data.store import Cohort

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training volunteers a field, one of validation and one of test at both: a phantom as BIDS."""
    config = phantom.PhantomConfig(train=2, val=1, test=1, shifted=0)
    cohort = Cohort.open(phantom.prepare(config, tmp_path_factory.mktemp("phantom")))
    root = tmp_path_factory.mktemp("bids")
    for split in ("train", "val", "test"):
        export.export_scans(phantom.SOURCE, config, cohort, split, root)
    return root


def times(storage: Path) -> dict[str, int]:
    """When each prepared visit was published."""
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in storage.glob("prepared/*/visits/*/manifest.json")
    }


def test_a_folder_is_prepared_once_reviewed_and_used_by_a_study(
    command: Any,
    scans: Path,
    tmp_path: Path,
    space: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--cohort", "folder", "--root", str(scans), "--size", "2mm", "--val", "1"]
    words += ["--storage", str(tmp_path)]
    done = command("platform.prepare", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    first = printed_cohort(done.stdout)
    assert "8 of 8 visits prepared" in done.stdout
    first.verify("train", "val", "test")
    splits = {s["id"]: s["split"] for s in first.manifest["subjects"]}
    assert sorted(splits.values()) == ["test", "train", "train", "train", "train", "val"]
    before = times(tmp_path)
    assert len(before) == 8

    # Again, and again without a visit: by this process, as what exists is found whoever looks.
    monkeypatch.setattr(cluster, "start_ray", lambda address, resources: None)
    monkeypatch.setattr(build, "ray_map", lambda function, items, on_crash, here: map(function, items))
    prepare.main(words)
    assert printed_cohort(capsys.readouterr().out).path == first.path and times(tmp_path) == before
    (table,) = tmp_path.glob("prepared/*/exclusions.csv")
    assert "sub-train3T0001_3T,," in table.read_text()
    table.write_text(table.read_text().replace("sub-train3T0001_3T,,", "sub-train3T0001_3T,yes,"))
    prepare.main(words)
    out = capsys.readouterr().out
    second = printed_cohort(out)
    assert "7 of 8 visits prepared" in out and times(tmp_path) == before
    left = {s["id"] for s in second.manifest["subjects"]}
    assert second.path != first.path and left == splits.keys() - {"sub-train3T0001_3T"}
    page = (table.parent / "quality.html").read_text()
    assert page.count("<article") == 8 and "excluded by hand" in page
    assert page.count("data:image/jpeg") == 4 * 2 + 3 * 3  # T1, T2; at 3 T also on its 64 mT brain

    study = tmp_path / "scans.yaml"
    chosen = f"cohort: {{source: folder, root: {scans}, size: 2mm, val: 1}}"
    study.write_text(
        space.read_text().replace(
            "cohort: {source: phantom, train: 3, val: 2, test: 2, anatomy: first}", chosen
        )
    )
    choice = load_study(study).cohort
    assert build.prepare_cohort(choice, tmp_path, console) == second.path
    search.main(["--space", str(study), "--storage", str(tmp_path), "--dry-run"])
    assert "folder" in capsys.readouterr().out


def printed_cohort(out: str) -> Cohort:
    """The cohort that the command named."""
    found = re.search(r"^cohort: (.*)$", out, re.MULTILINE)
    assert found
    return Cohort.open(Path(found[1]))
