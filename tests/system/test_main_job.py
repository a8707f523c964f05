"""search, resume, promote, translate: the main job end to end, on real Ray and MLflow."""

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.system.conftest import entries
from trainers.metrics.names import BASELINES

pytestmark = pytest.mark.slow


def ledger(storage: Path, name: str) -> list[dict[str, Any]]:
    """The entries of a study's ledger."""
    return entries(storage / "studies" / name)


def test_search_prints_the_front_beside_the_untouched_input(finished: str, storage: Path) -> None:
    assert "Pareto front" in finished and "untouched input" in finished and "knee" in finished
    report = json.loads((storage / "studies/first/report/front.json").read_text())
    assert report["front"] and report["hypervolume"] > 0
    assert report["baselines"].keys() == {*BASELINES, "floor"}
    assert "supervised bound: width 4, 1 blocks" in finished and "0.1 of a trial's operations" in finished


def test_front_of_the_report_is_the_ledgers(finished: str, storage: Path) -> None:
    """No candidate in the ledger dominates a member, and no member is missing."""
    rows = [
        (entry["trial"], int(steps), values["fid"], -values["ms_ssim"], -values["psnr"])
        for entry in ledger(storage, "first")
        if entry["event"] == "reported" and entry["report"]["step"] == 12
        for steps, values in entry["report"]["scores"].items()
    ]

    def dominated(row: tuple[Any, ...]) -> bool:
        return any(
            all(o <= r for o, r in zip(other[2:], row[2:], strict=True)) and other[2:] != row[2:]
            for other in rows
        )

    expected = {row[:2] for row in rows if not dominated(row)}
    report = json.loads((storage / "studies/first/report/front.json").read_text())
    assert {(c["trial"], c["steps"]) for c in report["front"]} == expected


def test_first_trial_is_the_start_point_and_all_complete(finished: str, storage: Path) -> None:
    entries = ledger(storage, "first")
    proposed = [entry for entry in entries if entry["event"] == "proposed"]
    assert proposed[0]["params"] == {"lambda_DMD": 0.5, "tau_m": 0.08, "T_m": 0.03, "refinement_steps": 2}
    assert [entry["status"] for entry in entries if entry["event"] == "ended"] == ["completed"] * 4


def test_mlflow_holds_one_parent_and_a_child_per_trial(finished: str, storage: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("64mT-to-3T")
    runs = [r for r in client.search_runs([experiment.experiment_id]) if r.data.tags["study"] == "first"]
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    assert len(parents) == 1 and len(children) == 4
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parents[0].info.run_id}
    assert all(r.info.status == "FINISHED" for r in runs)
    assert {"cohort", "references", "git_commit", "torch", "ray"} <= parents[0].data.tags.keys()
    assert "hypervolume" in parents[0].data.metrics
    artifacts = {a.path for a in client.list_artifacts(parents[0].info.run_id, "report")}
    assert {"report/front.json", "report/pareto.html", "report/pareto.png", "report/table.md"} <= artifacts
    for child in children:
        assert {"fid", "fid/1", "psnr", "ms_ssim", "loss/D", "seconds"} <= child.data.metrics.keys()
        assert "lambda_DMD" in child.data.params
        assert (storage / "studies/first" / child.data.tags["checkpoint"]).is_dir()
        assert len(client.get_metric_history(child.info.run_id, "fid")) == 2
        assert [a.path for a in client.list_artifacts(child.info.run_id) if a.path.endswith(".png")]


def test_a_name_that_exists_is_refused(command: Any, finished: str, storage: Path, space: Path) -> None:
    again = command("platform.search", "--space", str(space), "--storage", str(storage), "--name", "first")
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1 and "--resume first" in again.stderr


def test_resuming_a_finished_study_prints_its_front_again(command: Any, finished: str, storage: Path) -> None:
    before = ledger(storage, "first")
    again = command("platform.search", "--resume", "first", "--storage", str(storage))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Pareto front" in again.stdout
    assert ledger(storage, "first") == before


def test_a_trial_of_two_workers_trains_under_ray_train(
    command: Any, finished: str, storage: Path, space: Path, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.yaml"
    text = space.read_text().replace("budget: {trials: 4}", "budget: {trials: 1}")
    wide.write_text(text + "resources: {cpus: 2, workers: 2}\n")
    done = command("platform.search", "--space", str(wide), "--storage", str(storage))
    assert done.returncode == 0, done.stdout + done.stderr
    ended = [entry["status"] for entry in ledger(storage, "wide") if entry["event"] == "ended"]
    assert ended == ["completed"]


def test_promote_then_translate_a_test_subject(
    command: Any, finished: str, storage: Path, tmp_path: Path
) -> None:
    first = command("platform.promote", "first", "--storage", str(storage))
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"models:/first@champion is version \d+: trial", first.stdout)
    second = command("platform.promote", "first", "--storage", str(storage))
    assert second.stdout == first.stdout, "promoting the same candidate again makes no new version"
    scans = tmp_path / "scans"
    words = ("--study", "first", "--storage", str(storage), "--export", str(scans), "--split", "test")
    prepared = command("platform.prepare", *words)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    subject = sorted(scans.glob("sub-*"))[0]
    paths = {
        f"{field}_{c}": next(subject.glob(f"anat/*acq-{field}_{c}w.nii.gz"))
        for field in ("64mT", "3T")
        for c in ("T1", "T2")
    }
    translated = command(
        *("platform.translate", "models:/first@champion"),
        *("--storage", str(storage), "-o", str(tmp_path / "out")),
        *("--t1", str(paths["64mT_T1"]), "--t2", str(paths["64mT_T2"])),
        *("--t1-reference", str(paths["3T_T1"]), "--t2-reference", str(paths["3T_T2"])),
    )
    assert translated.returncode == 0, translated.stdout + translated.stderr
    for contrast in ("T1", "T2"):
        source = nib.load(paths[f"64mT_{contrast}"])
        output = nib.load(next((tmp_path / "out").rglob(f"*64mT_desc-enhanced_{contrast}w.nii.gz")))
        assert output.shape == source.shape and np.array_equal(output.affine, source.affine)
        sidecar = json.loads(
            next((tmp_path / "out").rglob(f"*64mT_desc-enhanced_{contrast}w.json")).read_text()
        )
        assert 5 < sidecar["psnr_db"]["output"] < 60
        assert "research only" in sidecar["use"]
    (picture,) = (tmp_path / "out").rglob("sub-*_desc-beforeAfter.png")
    assert picture.stat().st_size > 10_000


def test_the_registered_model_serves_without_pickle(finished: str, storage: Path, tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{storage / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    folder = Path(
        mlflow.artifacts.download_artifacts(
            "models:/first@champion", dst_path=str(tmp_path), tracking_uri=uri
        )
    )
    names = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin"}
    assert (folder / "artifacts/translator/translator.safetensors").is_file()
    assert (folder / "code").is_dir()


def test_translate_keeps_the_grid_of_a_real_pair(
    command: Any, finished: str, storage: Path, tmp_path: Path
) -> None:
    volumes = Path(__file__).parents[3] / "shared/volumes"
    if not volumes.is_dir():
        pytest.skip("../shared/volumes is absent: the real T1/T2 pair cannot be translated")
    words = [f"--{c}={volumes / f'stroke_{c.upper()}w_brain.nii.gz'}" for c in ("t1", "t2")]
    words += ["--storage", str(storage), "-o", str(tmp_path), "--field-strength", "0.064", "--subject", "s"]
    done = command("platform.translate", "models:/first@champion", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    source = nib.load(volumes / "stroke_T1w_brain.nii.gz")
    output = nib.load(tmp_path / "sub-s/anat/sub-s_desc-enhanced_T1w.nii.gz")
    assert output.shape == source.shape and np.array_equal(output.affine, source.affine)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("search --space nowhere.yaml", "nowhere.yaml"),
        ("search --resume nobody --storage {storage}", "'nobody'"),
        ("search --space {space} --trials 0", "--trials"),
        ("search --space {space} --name ../up", "--name"),
        ("search --space {space} --storage /proc/nowhere", "--storage"),
        ("search --space {space} --storage {fresh} --tracking ftp://127.0.0.1:9", "unknown scheme 'ftp'"),
        ("search --space {space} --profile moon", "moon"),
        ("promote nobody --storage {storage}", "'nobody'"),
        (
            "translate models:/none@champion --storage {storage} --t1 {scan} -o {fresh}",
            "models:/none@champion",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    words: str, message: str, command: Any, storage: Path, space: Path, tmp_path: Path
) -> None:
    fresh, scan = tmp_path / "runs", tmp_path / "a.nii"
    scan.touch()
    places = {"storage": storage, "space": space, "fresh": fresh, "scan": scan}
    done = command(*f"platform.{words}".format(**places).split())
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr and done.stderr.count("\n") == 1
    assert not list(fresh.glob("studies/*"))


def test_a_corrupt_cohort_is_named_before_anything_trains(
    command: Any, finished: str, storage: Path, space: Path
) -> None:
    contents = {file: file.read_bytes() for file in storage.glob("cohorts/*/val/64mT_T1.npy")}
    for file, content in contents.items():
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        done = command("platform.search", "--space", str(space), "--storage", str(storage), "--name", "third")
    finally:
        for file, content in contents.items():
            file.write_bytes(content)
    assert done.returncode == 2
    assert "64mT_T1.npy" in done.stderr and done.stderr.count("\n") == 1
    assert not (storage / "studies/third/study.json").exists()
