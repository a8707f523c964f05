"""A storage that is copied: its MLflow reads and writes its own artifacts, whatever the names of folders."""

import shutil
from pathlib import Path
from platform.storage.layout import Storage
from platform.tracking import store
from platform.tracking.moved import relocate

import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from trainers.errors import InputError


@pytest.fixture
def used(tmp_path: Path) -> Storage:
    """With a run that has an artifact and a registered model."""
    storage = Storage.open(tmp_path / "a%20b")
    client, experiment = opened(storage)
    run = client.create_run(experiment)
    (tmp_path / "file.txt").write_text("first")
    client.log_artifact(run.info.run_id, str(tmp_path / "file.txt"))
    client.create_registered_model("model")
    client.create_model_version("model", f"{run.info.artifact_uri}/file.txt", run.info.run_id)
    return storage


def opened(storage: Storage) -> tuple[MlflowClient, str]:
    experiment = store.prepare(storage.tracking, "all", storage.artifacts(storage.tracking))
    return MlflowClient(storage.tracking, storage.tracking), experiment


def test_names_with_percent_and_space_are_folders_of_their_own(used: Storage, tmp_path: Path) -> None:
    assert used.database.exists() and not (tmp_path / "a b").exists()
    other = Storage.open(tmp_path / "a b")
    client, experiment = opened(other)
    assert other.database.exists() and not client.search_runs([experiment])
    assert store.prepare(f"sqlite:///{tmp_path}/c d.db", "all", tmp_path) and (tmp_path / "c d.db").exists()


@pytest.mark.parametrize("gone", [True, False])
def test_a_copy_has_its_own_artifacts_and_models(used: Storage, tmp_path: Path, gone: bool) -> None:
    here = Storage(tmp_path / "copy_1")
    shutil.copytree(used.root, here.root)
    if gone:
        shutil.rmtree(used.root)
    _artifact_repos_cache.clear()  # as in another process
    client, experiment = opened(here)
    (run,) = client.search_runs([experiment])
    assert Path(client.download_artifacts(run.info.run_id, "file.txt")).read_text() == "first"
    assert run.info.artifact_uri.startswith(here.artifacts(here.tracking).as_uri())
    (tmp_path / "more.txt").write_text("more")
    client.log_artifact(run.info.run_id, str(tmp_path / "more.txt"))
    (version,) = client.search_model_versions("name = 'model'")
    assert version.source == f"{run.info.artifact_uri}/file.txt"
    assert used.root.exists() != gone and not list(used.root.rglob("more.txt"))
    assert not relocate(here.database, here.artifacts(here.tracking)), "once is enough"


def test_a_database_elsewhere_keeps_its_artifacts(used: Storage, tmp_path: Path) -> None:
    assert not relocate(used.database, tmp_path / "other" / "mlartifacts")
    assert not relocate(tmp_path / "missing.db", tmp_path / "mlartifacts")


def test_a_damaged_database_is_one_line(used: Storage) -> None:
    content = bytearray(used.database.read_bytes())
    content[100:8000] = bytes(7900)
    used.database.write_bytes(content)
    with pytest.raises(InputError, match=r"mlflow\.db") as caught:
        opened(used)
    assert "\n" not in str(caught.value)
