"""compare, kill, resume: all ten systems on the smoke profile, on real Ray and MLflow."""

import csv
import re
from pathlib import Path
from platform.comparison.report import BOUNDS
from platform.comparison.systems import LABELS
from typing import Any

import pytest

from tests.system.conftest import entries, kill_once

pytestmark = pytest.mark.slow

SYSTEMS = ("--systems", "all", "--profile", "smoke", "--extended")
UNPAIRED = """
extends: {base}
method: cut
search: {{lambda_NCE: {{log: [0.5, 4]}}}}
profiles:
  smoke:
    cohort: {{paired: false}}
    fixed: {{generator_width: 4, generator_blocks: 1, discriminator_width: 4, nce_patches: 16}}
"""


def ended(storage: Path, name: str) -> list[int]:
    return [entry["trial"] for entry in entries(storage / "comparisons" / name) if entry["event"] == "ended"]


@pytest.fixture(scope="module")
def finished(command: Any, start: Any, storage: Path) -> str:
    """The output of a comparison that was killed half-way and started again."""
    words = ("platform.compare", *SYSTEMS, "--storage", str(storage), "--name", "ten")
    kill_once(start(*words), lambda: len(ended(storage, "ten")) >= 3)
    before = ended(storage, "ten")
    assert 3 <= len(before) < 10
    done = command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    after = ended(storage, "ten")
    assert after[: len(before)] == before and sorted(after) == list(range(10))
    return str(done.stdout)


def test_both_tables_list_all_ten_systems_and_their_bounds(finished: str, storage: Path) -> None:
    text = (storage / "comparisons/ten/report/tables.md").read_text()
    unpaired, paired = (next(p for p in text.split("### ") if p.startswith(n)) for n in ("A", "B"))
    for label in (*LABELS.values(), "Untouched 64 mT", "Paired 3 T itself"):
        row = re.compile(rf"^\| {re.escape(label)}¹? \|", re.MULTILINE)
        assert [len(row.findall(part)) for part in (unpaired, paired)] == [1, 1], label
    assert "A. Unpaired" in finished and "B. Paired" in finished
    assert "Rad-FID" not in unpaired and "### C" in text and "Protocol" in text


def test_scores_and_pictures_are_on_disk_and_in_mlflow(finished: str, storage: Path) -> None:
    from mlflow.tracking import MlflowClient

    report = storage / "comparisons/ten/report"
    rows = list(csv.DictReader((report / "scores.csv").open()))
    # In the smoke profile no bound is trained, and what each system is first tried with does not restore.
    assert {row["system"] for row in rows} == {*BOUNDS, *LABELS} - {"supervised", "restored"}
    metrics = {row["metric"] for row in rows}
    assert {"fid", "kid", "piqe", "psnr_t1", "ms_ssim_t2"} <= metrics and "rad_fid" not in metrics
    assert all((report / name).stat().st_size > 10_000 for name in ("gallery.png", "plane.png", "plane.html"))
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("64mT-to-3T")
    runs = client.search_runs([experiment.experiment_id], "tags.study = 'comparison ten'")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert all(f"{name}.yaml" in parent.data.tags["space"] for name in LABELS)
    assert (storage / "cohorts" / parent.data.tags["cohort"][:16]).is_dir()
    assert (storage / "references" / parent.data.tags["references"][:16]).is_dir()
    assert {run.data.tags["system"] for run in children} == set(LABELS) and len(children) == 10
    assert all({"fid", "test/fid", "test/psnr_t1"} <= run.data.metrics.keys() for run in children)
    stored = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
    assert {"report/tables.md", "report/scores.csv", "report/gallery.png"} <= stored


def test_a_cohort_without_pairs_still_gives_table_a(command: Any, storage: Path, tmp_path: Path) -> None:
    base = Path(__file__).parents[2] / "search_spaces/base/phantom.yaml"
    space = tmp_path / "unpaired.yaml"
    space.write_text(UNPAIRED.format(base=base))
    words = ("--systems", str(space), "--profile", "smoke", "--storage", str(storage))
    done = command("platform.compare", *words, "--name", "unpaired", "--budget", "2s")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (storage / "comparisons/unpaired/report/tables.md").read_text()
    assert "no paired subjects" in text and "| unpaired " in text
