"""A storage's own MLflow: named nowhere, so that the storage can move."""

from pathlib import Path
from platform.storage.layout import Storage


def test_a_studys_own_mlflow_moves_with_its_storage(tmp_path: Path) -> None:
    here, there = Storage.open(tmp_path / "here"), Storage.open(tmp_path / "there")
    assert here.saved_tracking(here.tracking) == "" and there.tracking_of("") == there.tracking
    other = "http://host:5000"
    assert here.tracking_of(here.saved_tracking(other)) == other
    assert there.tracking_of(here.tracking) == there.tracking, "as earlier versions have saved it"
    (here.root / "mlflow.db").touch()
    assert there.tracking_of(here.tracking) == here.tracking, "it is still there"
